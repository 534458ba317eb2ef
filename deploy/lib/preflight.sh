# shellcheck shell=bash
# What must be true before anything is changed on the machine. Every check that fails is named, then quickstart ends.
wrong=()
need() { # WHAT COMMAND...
  local what=$1; shift
  "$@" >/dev/null 2>&1 || wrong+=("$what")
}

# The kernel's features, tried in a network namespace of their own that is gone afterwards.
network_features() {
  unshare -n sh -ec '
    ip link add kubec-t0 type bridge
    ip link add kubec-t1 type veth peer name kubec-t2
    nft -f - <<T
table ip kubec-t {
  map m { type ipv4_addr . inet_proto . inet_service : verdict; }
  chain c { type nat hook postrouting priority 100; meta mark & 1 == 1 masquerade; }
  chain d { numgen random mod 2 vmap { 0 : return, 1 : return }; }
}
T
    iptables -t nat -A POSTROUTING -m comment --comment kubec -s 192.0.2.0/24 -j MASQUERADE'
}
overlay() {
  grep -qw overlay /proc/filesystems || modprobe overlay
}
controller() { # NAME: of cgroup v1 or v2
  grep -qw "$1" /sys/fs/cgroup/cgroup.controllers 2>/dev/null || awk -v n="$1" '$1 == n && $4 == 1 {f = 1} END {exit !f}' /proc/cgroups
}
free_space() { # KB FOLDER, or the first one above it that is there
  local d=$2
  while [ ! -d "$d" ]; do d=$(dirname "$d"); done
  [ "$(df --output=avail -k "$d" | tail -n 1)" -gt "$1" ]
}

# Ports of daemons that do not run yet must be free.
ports=(raftstore:2379 raftstore:2380 raftstore:2381 kube-apiserver:6443 kube-apiserver:6444 kube-controller-manager:10257
  kube-scheduler:10259 kubelet:10248 kubelet:10250 kube-proxy:10249 kube-proxy:10256)
free_ports() {
  local entry name number line listening
  listening=$(ss -Hltnp)
  for entry in "${ports[@]}"; do
    name=${entry%:*} number=${entry#*:}
    line=$(awk -v p=":$number" 'substr($4, length($4) - length(p) + 1) == p {print; exit}' <<<"$listening")
    [ -z "$line" ] || running "$name" ||
      wrong+=("port $number, which $name needs, is taken by $(sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (pid \2)/p' <<<"$line")")
  done
}

# Files of another cluster are not ours to overwrite, nor to take away afterwards.
no_other_cluster() {
  local f
  [ ! -d "$state/before" ] || return 0
  for f in "$conf"/admin.conf "$conf"/manifests/*.yaml "$etcd"/member "$kubelet"/pods/*; do
    [ ! -e "$f" ] || { wrong+=("$f is there: another cluster's? Take it away first, or use --root"); return; }
  done
}

preflight() {
  need "the kernel cannot mount overlayfs" overlay
  need "the kernel lacks bridges, veth pairs, nftables' maps and numgen, or iptables' NAT" network_features
  local c
  for c in cpu memory pids cpuset; do need "the cgroup controller $c is not there" controller $c; done
  need "less than 500 MB are free below ${root:-}/var/lib" free_space 500000 "$root/var/lib"
  for c in containerd runc kubectl nft iptables ip ss openssl busybox curl; do need "$c is not on the PATH" command -v "$c"; done
  for c in bridge host-local portmap loopback; do need "the CNI plugin /usr/lib/cni/$c is not there" test -x "/usr/lib/cni/$c"; done
  free_ports
  no_other_cluster
  [ ${#wrong[@]} = 0 ] && return
  printf 'quickstart: %s\n' "${wrong[@]}" "nothing was started or changed" >&2
  exit 1
}
