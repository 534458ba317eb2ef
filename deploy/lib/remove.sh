# shellcheck shell=bash
# The steps of teardown. Each finds what is ours by itself and may find nothing.

stop_units() {
  local found=()
  [ -z "$root" ] || return 0
  mapfile -t found < <(cd "$units" 2>/dev/null && ls -d kubec-*.service 2>/dev/null)
  [ ${#found[@]} -gt 0 ] || return 0
  if [ -d /run/systemd/system ]; then
    systemctl disable -q "${found[@]}" 2>/dev/null
    systemctl stop "${found[@]}"
    systemctl reset-failed -q "${found[@]}" 2>/dev/null
  fi
  (cd "$units" && rm -f "${found[@]}")
  [ ! -d /run/systemd/system ] || systemctl daemon-reload
}

# Sets containers (ids), sockets (of their shims) and namespaces (names of network namespaces), as the runtime has them on disk.
find_containers() {
  local tasks=$run/containerd/io.containerd.runtime.v2.task/k8s.io d
  containers=() sockets=() namespaces=()
  for d in "$tasks"/*/; do
    [ -d "$d" ] && containers+=("$(basename "$d")")
  done
  mapfile -t sockets < <(cat "$tasks"/*/address 2>/dev/null | grep -oE '/run/containerd/s/[0-9a-f]{64}')
  # A sandbox that was being made may have a namespace and not yet a task: the CNI library's cache knows it.
  mapfile -t namespaces < <(cat "$tasks"/*/config.json /var/lib/cni/results/"$network"-* \
    /var/lib/cni/cache/results/"$network"-* 2>/dev/null | grep -oE '/netns/cni-[0-9a-f-]+' | sort -u | cut -d/ -f3)
}

# Shims outlive containerd; they carry its socket in their command line.
kill_shims() {
  local f
  for f in $(grep -lszxF -- "$run/containerd.sock" /proc/[0-9]*/cmdline); do
    ! grep -qz containerd-shim "$f" 2>/dev/null || kill -9 "$(cut -d/ -f3 <<<"$f")" 2>/dev/null
  done
}

# All processes in the containers' cgroups, until there are none.
kill_containers() {
  local i pids
  [ ${#containers[@]} -gt 0 ] || return 0
  for ((i = 0; i < 100; i++)); do
    mapfile -t pids < <(printf '%s\n' "${containers[@]}" | grep -lFf - /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3 |
      while read -r p; do
        [ "$(cut -d' ' -f3 "/proc/$p/stat" 2>/dev/null)" = Z ] || echo "$p"
      done)
    [ ${#pids[@]} -gt 0 ] && [ -n "${pids[0]}" ] || return 0
    kill -9 "${pids[@]}" 2>/dev/null
    sleep 0.02
  done
}

unmount_below() { # FOLDER...
  local d m
  for d in "$@"; do
    awk -v d="$d/" 'index($5, d) == 1 {print $5}' /proc/self/mountinfo | sort -r | while read -r m; do
      umount -l "$(printf '%b' "$m")"
    done
  done
}

remove_namespaces() {
  local ns
  for ns in "${namespaces[@]}"; do
    [ ! -e "/run/netns/$ns" ] || ip netns del "$ns"
  done
  # One without any link but loopback was being made when its maker died.
  for ns in /run/netns/cni-*; do
    [ -e "$ns" ] || continue
    [ "$(nsenter --net="$ns" ip -o link 2>/dev/null | wc -l)" -gt 1 ] || ip netns del "$(basename "$ns")" 2>/dev/null || rm -f "$ns"
  done
}

remove_links() {
  local link
  # The other ends of the pods' links went with their namespaces, or do now.
  ip -o link show master "$bridge" 2>/dev/null | awk '{sub(/[@:].*/, "", $2); print $2}' | while read -r link; do
    ip link del "$link" 2>/dev/null
  done
  ip link del "$bridge" 2>/dev/null
}

# kube-proxy's tables, and the chains that the CNI plugins made for our network.
remove_rules() {
  local tool table
  nft list tables 2>/dev/null | awk '$3 ~ /^kube/ {print $2, $3}' | while read -r table; do
    # shellcheck disable=SC2086  # family and name
    nft delete table $table
  done
  for tool in iptables ip6tables; do
    command -v $tool-save >/dev/null && remove_cni_rules $tool
  done
  drop_empty_tables
}

# A rule's comment names the network. What such rules jump to is the container's chain; portmap's shared chains go when no
# container of any network is left in them.
remove_cni_rules() { # TOOL
  local saved edits
  saved=$($1-save -t nat 2>/dev/null) || return 0
  edits=$(awk -v ours="name: \\\\\"$network\\\\\"" '
    function del(rule) { sub(/^-A/, "-D", rule); print rule }
    /^-A/ && index($0, ours) {
      del($0)
      for (i = 1; i < NF; i++) if ($i == "-j" && $(i + 1) ~ /^CNI-/) chain[$(i + 1)] = 1
      if ($2 ~ /^CNI-[0-9a-f]+$/ || $2 ~ /^CNI-DN-/) chain[$2] = 1
      next
    }
    /^-A/ { rest[++n] = $0 }
    END {
      for (i = 1; i <= n; i++) if (rest[i] ~ /-j CNI-DN-/) others = 1
      if (!others) {
        for (i = 1; i <= n; i++) if (rest[i] ~ /-j CNI-HOSTPORT-/) del(rest[i])
        chain["CNI-HOSTPORT-DNAT"] = chain["CNI-HOSTPORT-MASQ"] = chain["CNI-HOSTPORT-SETMARK"] = 1
      }
      for (c in chain) print "-F " c
      for (c in chain) print "-X " c
    }' <<<"$saved")
  # A chain that is not there cannot be flushed: name only those that are.
  edits=$(while read -r word chain rest; do
    case $word in
      -F | -X) grep -q "^:$chain " <<<"$saved" && echo "$word $chain" ;;
      ?*) echo "$word $chain $rest" ;;
    esac
  done <<<"$edits")
  [ -z "$edits" ] || printf '*nat\n%s\nCOMMIT\n' "$edits" | $1-restore --noflush
}

# What runc, the shims and the CNI library keep outside the runtime's own folders.
remove_container_files() {
  local id ns f
  for f in /var/lib/cni/results/* /var/lib/cni/cache/results/*; do
    [ -f "$f" ] || continue
    case $f in */"$network"-*) rm -f "$f" ;; esac
    for id in "${containers[@]}"; do [[ $f != *-$id-* ]] || rm -f "$f"; done
    for ns in "${namespaces[@]}"; do ! grep -qsF "/$ns\"" "$f" || rm -f "$f"; done
  done
  for id in "${containers[@]}"; do rm -rf "/run/containerd/runc/k8s.io/$id"; done
  [ ${#sockets[@]} = 0 ] || rm -f "${sockets[@]}"
}

remove_cgroups() {
  local d id
  # The kubelet's tree, and whatever carries a container's id.
  find /sys/fs/cgroup -depth -type d \( -path '*/kubepods*' -o -path '*/k8s.io/*' -o -name k8s.io \) -exec rmdir {} + 2>/dev/null
  for id in "${containers[@]}"; do
    find /sys/fs/cgroup -depth -type d -path "*$id*" -exec rmdir {} + 2>/dev/null
  done
  return 0
}
