// Flannel's CNI plugin by its published contract (README of
// flannel-io/cni-plugin): read the subnet that flanneld wrote, turn it into a
// configuration for the delegate (bridge unless said otherwise), call that.
//
// Ours, because the Go module proxy has no version of the original.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// What CNI 1.1 says for "the plugin cannot serve a request now".
const notAvailable = 50

type config struct {
	types.NetConf
	SubnetFile string         `json:"subnetFile"`
	DataDir    string         `json:"dataDir"`
	Delegate   map[string]any `json:"delegate"`
	Ipam       map[string]any `json:"ipam"`
	Runtime    map[string]any `json:"runtimeConfig"`
}

type subnet struct {
	networks []string
	own      []string
	mtu      int
	masked   bool
}

func parseConfig(data []byte) (*config, error) {
	c := &config{SubnetFile: "/run/flannel/subnet.env", DataDir: "/var/lib/cni/flannel"}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("flannel: configuration: %w", err)
	}
	return c, nil
}

func readSubnet(path string) (*subnet, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("flannel: flanneld has not written its subnet yet: %w", err)
	}
	defer file.Close()
	s := &subnet{}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		key, value, _ := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		switch key {
		case "FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK":
			s.networks = append(s.networks, strings.Split(value, ",")...)
		case "FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET":
			_, cidr, err := net.ParseCIDR(value)
			if err != nil {
				return nil, fmt.Errorf("flannel: %s in %s: %w", key, path, err)
			}
			s.own = append(s.own, cidr.String())
		case "FLANNEL_MTU":
			if s.mtu, err = strconv.Atoi(value); err != nil {
				return nil, fmt.Errorf("flannel: %s in %s: %w", key, path, err)
			}
		case "FLANNEL_IPMASQ":
			s.masked = value == "true"
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(s.own) == 0 || len(s.networks) == 0 {
		return nil, fmt.Errorf("flannel: %s names no subnet or no network", path)
	}
	return s, nil
}

// delegation is the configuration that the delegate gets on standard input.
func delegation(c *config, s *subnet) ([]byte, string, error) {
	d := map[string]any{}
	for key, value := range c.Delegate {
		d[key] = value
	}
	preset := func(key string, value any) {
		if _, given := d[key]; !given {
			d[key] = value
		}
	}
	if _, given := d["name"]; given {
		return nil, "", errors.New("flannel: delegate must not have a name")
	}
	if _, given := d["ipam"]; given {
		return nil, "", errors.New("flannel: delegate must not have ipam; set it beside delegate")
	}
	preset("type", "bridge")
	kind, ok := d["type"].(string)
	if !ok || kind == "" || strings.ContainsAny(kind, "/\\") {
		return nil, "", errors.New("flannel: delegate's type must be a plugin's name")
	}
	d["name"] = c.Name
	if c.CNIVersion != "" {
		d["cniVersion"] = c.CNIVersion
	}
	// One of the two masks, never both.
	preset("ipMasq", !s.masked)
	preset("mtu", s.mtu)
	if kind == "bridge" {
		preset("isGateway", true)
	}
	if c.Runtime != nil {
		d["runtimeConfig"] = c.Runtime
	}
	ipam := map[string]any{"type": "host-local"}
	for key, value := range c.Ipam {
		ipam[key] = value
	}
	ranges := make([]any, 0, len(s.own))
	for _, own := range s.own {
		ranges = append(ranges, []any{map[string]any{"subnet": own}})
	}
	ipam["ranges"] = ranges
	routes, _ := ipam["routes"].([]any)
	for _, network := range s.networks {
		routes = append(routes, map[string]any{"dst": network})
	}
	ipam["routes"] = routes
	d["ipam"] = ipam
	data, err := json.Marshal(d)
	return data, kind, err
}

// The configuration is kept, because flanneld may have another subnet, or
// none, by the time the pod goes.
func kept(c *config, container string) string {
	return filepath.Join(c.DataDir, container)
}

func add(args *skel.CmdArgs) error {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	s, err := readSubnet(c.SubnetFile)
	if err != nil {
		return err
	}
	data, kind, err := delegation(c, s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(kept(c, args.ContainerID), data, 0o600); err != nil {
		return err
	}
	result, err := invoke.DelegateAdd(context.Background(), kind, data, nil)
	if err != nil {
		return err
	}
	return result.Print()
}

// recall answers nil if nothing is kept: a repeated DEL must succeed.
func recall(args *skel.CmdArgs) (data []byte, kind, path string, err error) {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return nil, "", "", err
	}
	path = kept(c, args.ContainerID)
	data, err = os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, "", path, nil
	}
	if err != nil {
		return nil, "", path, err
	}
	var saved types.NetConf
	if err := json.Unmarshal(data, &saved); err != nil {
		return nil, "", path, fmt.Errorf("flannel: %s: %w", path, err)
	}
	return data, saved.Type, path, nil
}

func remove(args *skel.CmdArgs) error {
	data, kind, path, err := recall(args)
	if err != nil || data == nil {
		return err
	}
	if err := invoke.DelegateDel(context.Background(), kind, data, nil); err != nil {
		return err
	}
	return os.Remove(path)
}

func check(args *skel.CmdArgs) error {
	data, _, path, err := recall(args)
	if err != nil {
		return err
	}
	if data == nil {
		return fmt.Errorf("flannel: %s is missing", path)
	}
	return nil
}

func status(args *skel.CmdArgs) error {
	c, err := parseConfig(args.StdinData)
	if err != nil {
		return err
	}
	if _, err := readSubnet(c.SubnetFile); err != nil {
		return types.NewError(notAvailable, "flannel is not ready", err.Error())
	}
	return nil
}

func main() {
	skel.PluginMainFuncs(skel.CNIFuncs{Add: add, Del: remove, Check: check, Status: status},
		version.All, "flannel's CNI plugin, Skykeep's laboratory build")
}
