# shellcheck shell=bash
# What the machine was before the cluster: written by quickstart, before it changes anything else, and put back by teardown.
sysctls=(net.ipv4.ip_forward net.ipv4.conf.all.route_localnet net.ipv6.conf.all.forwarding net.bridge.bridge-nf-call-iptables
  net.bridge.bridge-nf-call-ip6tables net.netfilter.nf_conntrack_max net.netfilter.nf_conntrack_tcp_be_liberal
  net.netfilter.nf_conntrack_tcp_timeout_established net.netfilter.nf_conntrack_tcp_timeout_close_wait
  net.ipv4.vs.conntrack vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys
  kernel.keys.root_maxbytes)
folders() {
  printf '%s\n' "$conf" "$etcd" "$kubelet" "$state" "$log" "$run" "$root"/{etc,var/lib,var/log,run} /etc/cni/net.d /etc/cni /var/lib/cni/results \
    /var/lib/cni/cache /var/lib/cni /var/run/kubernetes /opt/cni /run/netns \
    /run/containerd /run/containerd/s /run/containerd/runc /run/containerd/runc/k8s.io "$bin"
}

remember() {
  local new=$state/before.new there f
  [ -d "$state/before" ] && return
  there=$(folders | while read -r f; do [ ! -e "$f" ] || stat -c '%a %u:%g %n' "$f"; done)
  mkdir -p "$new"
  echo "$there" > "$new/folders"
  for f in "${sysctls[@]}"; do
    f=/proc/sys/${f//.//}
    [ ! -r "$f" ] || printf '%s %s\n' "$f" "$(cat "$f")"
  done > "$new/sysctls"
  nft list tables > "$new/tables" 2>/dev/null || true
  mv -T "$new" "$state/before"
}

put_back_sysctls() {
  local f value
  [ -r "$state/before/sysctls" ] || return 0
  while read -r f value; do
    [ ! -w "$f" ] || [ "$(cat "$f")" = "$value" ] || echo "$value" > "$f"
  done < "$state/before/sysctls"
}

# iptables makes tables for its first rule and leaves them: those that were not there before and hold no rule.
drop_empty_tables() {
  local table
  nft list tables 2>/dev/null | while read -r table; do
    grep -qxF "$table" "$state/before/tables" 2>/dev/null && continue
    # shellcheck disable=SC2086  # "table ip nat" is three words
    nft -s list $table 2>/dev/null | grep -qvE '^(table .*|\s*chain (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) \{|\s*type .* policy accept;|\s*\}|\s*)$|^# Warning' ||
      nft delete $table
  done
}

# Folders that were there stay, as they were; those that the cluster made go, if nothing else lies in them.
put_back_folders() {
  local f mode owner
  if [ -r "$1" ]; then
    while read -r mode owner f; do
      [ ! -d "$f" ] || { chmod "$mode" "$f"; chown "$owner" "$f"; }
    done < "$1"
  fi
  folders | sort -r | while read -r f; do
    grep -q " $f\$" "$1" 2>/dev/null || { [ -d "$f" ] && rmdir "$f"; } || true
  done 2>/dev/null
}
