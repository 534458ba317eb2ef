# shellcheck shell=bash
# What quickstart and teardown share: where files lie, what to say, and which daemons run.
# Sets, from $root: conf, state, log, run, units.
daemons=(raftstore containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
network=kubec bridge=kubec0 pod_cidr=10.244.0.0/16 node_cidr=10.244.0.0/24 service_cidr=10.96.0.0/16
port=6443

layout() {
  conf=$root/etc/kubernetes state=$root/var/lib/kubec log=$root/var/log/kubec run=$root/run/kubec
  etcd=$root/var/lib/etcd kubelet=$root/var/lib/kubelet
  units=/etc/systemd/system bin=/usr/local/lib/kubec
}

began=${EPOCHREALTIME/[.,]/}
say() {
  local us=$((${EPOCHREALTIME/[.,]/} - began))
  printf '[%3d.%d s] %s\n' $((us / 1000000)) $((us / 100000 % 10)) "$*"
}
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# systemd supervises a cluster of this machine's own folders; one below --root, and one where it does not run, is of plain
# processes.
with_systemd() { [ -z "$root" ] && [ -z "${processes:-}" ] && [ -d /run/systemd/system ]; }

# A process is known by its pid and its start time: a pid that was given to another is not ours.
started() { cut -d' ' -f22 "/proc/$1/stat" 2>/dev/null || true; }
alive() { # PID START
  [ "$(started "$1")" = "$2" ] && [ "$(cut -d' ' -f3 "/proc/$1/stat" 2>/dev/null)" != Z ]
}
running() { # NAME; sets pid, when and print (the fingerprint it was started with)
  if with_systemd; then systemctl is-active -q "kubec-$1"; return; fi
  [ -s "$run/$1.pid" ] || return 1
  read -r pid when print < "$run/$1.pid" || true
  alive "$pid" "$when"
}
stop() { # NAME: asks, then kills
  local pid when print i
  if running "$1" && ! with_systemd; then
    kill "$pid" 2>/dev/null || true
    for ((i = 0; i < 200; i++)); do alive "$pid" "$when" || break; sleep 0.05; done
    ! alive "$pid" "$when" || kill -9 "$pid" 2>/dev/null || true
  fi
  rm -f "$run/$1.pid"
}
