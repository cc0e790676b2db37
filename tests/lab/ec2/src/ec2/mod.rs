//! EC2, one file per family of resources.

mod address;
mod attribute;
mod gateway;
mod group;
mod image;
mod instance;
mod interface;
mod reply;
mod route;
pub(crate) mod run;
mod subnet;
mod tags;
mod vpc;
mod wish;

use crate::ctx::Ctx;
use crate::error::{ApiError, Result};

/// Carries an action out; the answer is the inside of the reply.
pub(crate) fn call(ctx: &mut Ctx, action: &str) -> Result<String> {
    match action {
        "DescribeAvailabilityZones" => image::zones(ctx),
        "DescribeRegions" => image::regions(ctx),
        "DescribeImages" => image::images(ctx),
        "DescribeInstanceTypes" => image::types(ctx),
        "DescribeInstanceTypeOfferings" => image::offerings(ctx),
        "DescribeAccountAttributes" => image::account(ctx),
        "CreateVpc" => vpc::create(ctx),
        "DescribeVpcs" => vpc::describe(ctx),
        "DeleteVpc" => vpc::delete(ctx),
        "ModifyVpcAttribute" => vpc::modify(ctx),
        "DescribeVpcAttribute" => vpc::attribute(ctx),
        "CreateSubnet" => subnet::create(ctx),
        "DescribeSubnets" => subnet::describe(ctx),
        "DeleteSubnet" => subnet::delete(ctx),
        "ModifySubnetAttribute" => subnet::modify(ctx),
        "CreateInternetGateway" => gateway::create(ctx),
        "AttachInternetGateway" => gateway::attach(ctx),
        "DetachInternetGateway" => gateway::detach(ctx),
        "DescribeInternetGateways" => gateway::describe(ctx),
        "DeleteInternetGateway" => gateway::delete(ctx),
        "CreateRouteTable" => route::create_table(ctx),
        "DescribeRouteTables" => route::describe(ctx),
        "DeleteRouteTable" => route::delete_table(ctx),
        "CreateRoute" => route::create(ctx, false),
        "ReplaceRoute" => route::create(ctx, true),
        "DeleteRoute" => route::delete(ctx),
        "AssociateRouteTable" => route::associate(ctx),
        "DisassociateRouteTable" => route::disassociate(ctx),
        "CreateSecurityGroup" => group::create(ctx),
        "DescribeSecurityGroups" => group::describe(ctx),
        "AuthorizeSecurityGroupIngress" => group::authorize(ctx),
        "RevokeSecurityGroupIngress" => group::revoke(ctx),
        "DeleteSecurityGroup" => group::delete(ctx),
        "AllocateAddress" => address::allocate(ctx),
        "DescribeAddresses" => address::describe(ctx),
        "AssociateAddress" => address::associate(ctx),
        "DisassociateAddress" => address::disassociate(ctx),
        "ReleaseAddress" => address::release(ctx),
        "CreateNetworkInterface" => interface::create(ctx),
        "DescribeNetworkInterfaces" => interface::describe(ctx),
        "DeleteNetworkInterface" => interface::delete(ctx),
        "ModifyNetworkInterfaceAttribute" => interface::modify(ctx),
        "RunInstances" => run::run(ctx),
        "TerminateInstances" => run::terminate(ctx),
        "DescribeInstances" => instance::describe(ctx),
        "DescribeInstanceStatus" => instance::status(ctx),
        "DescribeVolumes" => instance::volumes(ctx),
        "GetConsoleOutput" => instance::console(ctx),
        "ModifyInstanceAttribute" => attribute::modify(ctx),
        "DescribeInstanceAttribute" => attribute::describe(ctx),
        "CreateTags" => tags::create(ctx),
        "DeleteTags" => tags::delete(ctx),
        "DescribeTags" => tags::describe(ctx),
        other => Err(ApiError::bad(
            "InvalidAction",
            format!("The action {other} is not valid for this web service."),
        )),
    }
}
