//! What AWS's error codes mean for somebody who rebuilds a castle.

/// What is known about a code.
pub(crate) struct Known {
    pub why: &'static str,
    pub remedy: &'static str,
    pub transient: bool,
}

/// Whether the code asks us to slow down.
pub(crate) fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "RequestThrottled"
            | "TooManyRequests"
            | "TooManyRequestsException"
            | "SlowDown"
            | "EC2ThrottledException"
    )
}

const fn lasting(why: &'static str, remedy: &'static str) -> Option<Known> {
    Some(Known {
        why,
        remedy,
        transient: false,
    })
}

const fn passing(why: &'static str, remedy: &'static str) -> Option<Known> {
    Some(Known {
        why,
        remedy,
        transient: true,
    })
}

/// The meaning of a code, when people meet it.
pub(crate) fn of(code: &str) -> Option<Known> {
    if is_throttle(code) {
        return passing(
            "AWS limits how fast this account may ask",
            "Wait a minute and start again; nothing is lost.",
        );
    }
    match code {
        "AuthFailure" | "InvalidClientTokenId" | "InvalidAccessKeyId" | "UnrecognizedClientException" => lasting(
            "AWS does not know this access key, or it is switched off",
            "Check the access key id in the vault or in Infisical, and in IAM that the key is active.",
        ),
        "SignatureDoesNotMatch" => lasting(
            "the secret access key does not belong to the access key id, or this machine's clock is wrong",
            "Check the secret access key (no blank or newline at its end) and the clock.",
        ),
        "RequestExpired" | "RequestTimeTooSkewed" => lasting(
            "this machine's clock differs from AWS's by more than five minutes",
            "Let the clock be set (network time), then start again.",
        ),
        "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" => lasting(
            "the temporary credentials have ended",
            "Use a permanent key of an IAM user for the castle, or get new temporary ones.",
        ),
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => lasting(
            "the key is good, but its IAM policy does not allow this",
            "Allow the action in the IAM policy of the castle's user (docs/aws-policy.json has all that are needed).",
        ),
        "OptInRequired" => lasting(
            "the account is not signed up for this service",
            "Sign the account up in the AWS console.",
        ),
        "Blocked" | "PendingVerification" => {
            lasting("AWS blocks or still verifies the account", "Write to AWS support.")
        }
        "InsufficientInstanceCapacity" | "InsufficientHostCapacity" => lasting(
            "AWS has no free machine of this type in this zone now",
            "Use another instanceType or other zones in castle.yaml, or wait some minutes and start again.",
        ),
        "InstanceLimitExceeded" | "VcpuLimitExceeded" => lasting(
            "the account's quota of running instances is used up",
            "Ask for a higher quota (Service Quotas, `Running On-Demand instances`) or end instances that nobody needs.",
        ),
        "AddressLimitExceeded" => lasting(
            "the account's quota of elastic addresses is used up",
            "Release addresses that nobody needs, or ask for a higher quota; the castle needs one for each of up to three zones.",
        ),
        "VpcLimitExceeded" | "InternetGatewayLimitExceeded" => lasting(
            "the region's quota of networks is used up",
            "Delete a network that nobody needs, or ask for a higher quota.",
        ),
        "InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" | "InvalidAMIID.Unavailable" => lasting(
            "the image is not there in this region",
            "Set cloud.aws.image to the id of a Debian 12 image of this region (wiki.debian.org/Cloud/AmazonEC2Image).",
        ),
        "Unsupported" | "InvalidInstanceType" | "UnsupportedOperation" => lasting(
            "this instance type does not exist in this zone, or does not go with the image",
            "Use another instanceType or other zones in castle.yaml.",
        ),
        "InvalidParameterValue"
        | "InvalidParameterCombination"
        | "ValidationError"
        | "MissingParameter"
        | "InvalidConfigurationRequest" => lasting(
            "AWS does not accept a value that we sent",
            "Check the part of castle.yaml that the text names; if it looks right, please report this text.",
        ),
        "IdempotentParameterMismatch" => lasting(
            "the same attempt was made before with other values",
            "castle.yaml or castle.lock was changed in the middle of a rebirth: put it back, or begin a new generation.",
        ),
        "PrivateIpAddressInUse" | "InvalidIPAddress.InUse" => passing(
            "an older node still holds this address",
            "Wait until it is gone; we try again by ourselves.",
        ),
        "DependencyViolation" | "ResourceInUse" | "InvalidIPAddress.InUseByLoadBalancer" => passing(
            "another thing still uses it",
            "Wait: AWS frees it some time after its user is gone. If it lasts, look in the AWS console who uses it.",
        ),
        "NoSuchBucket" => lasting(
            "the bucket does not exist",
            "Check bucket, region and endpoint in castle.yaml.",
        ),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
            lasting("the bucket is in another region", "Set its region in castle.yaml.")
        }
        "InternalError" | "InternalFailure" | "Unavailable" | "ServiceUnavailable" => passing(
            "AWS has trouble of its own",
            "Try again in some minutes; look at the AWS status page.",
        ),
        _ => None,
    }
}
