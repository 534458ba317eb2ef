# shellcheck shell=bash
# Starting daemons, as systemd units or as plain processes. A daemon that runs with the same command, executable and files
# is left alone; one whose command, executable or files have changed is started anew, and it alone.

program() { # NAME: the path that the daemon is started from
  if with_systemd; then echo "$bin/$1"; else built "$1"; fi
}
built() { # NAME: its path in the build folder
  case $1 in
    kube-apiserver) echo "$build/apiserver/$1" ;;
    kube-scheduler) echo "$build/scheduler/$1" ;;
    kube-controller-manager) echo "$build/controller-manager/$1" ;;
    *) echo "$build/$1/$1" ;;
  esac
}

# systemd runs copies, so that a build can go on below a cluster that runs.
install_programs() {
  local name
  mkdir -p "$bin"
  for name in "${daemons[@]}"; do
    [ "$name" = containerd ] || cmp -s "$(built "$name")" "$bin/$name" || {
      cp "$(built "$name")" "$bin/$name.new"
      chmod 755 "$bin/$name.new"
      mv "$bin/$name.new" "$bin/$name"
    }
  done
  chmod 755 "$bin"
}

fingerprint() { # ARGUMENT...: of the words, and of the files that they name
  local word files=()
  for word in "$@"; do
    [ ! -f "${word#*=}" ] || files+=("${word#*=}")
  done
  { printf '%s\0' "$@"; stat -L -c '%n %i %s %Y' "${files[@]}"; } | sha256sum | cut -c1-16
}

launch() { # NAME
  local cmd verb=started pid when print new flag name=$1
  command_of "$name"
  for flag in "${extra[@]}"; do
    [ "${flag%%=*}" != "$name" ] || cmd+=("${flag#*=}")
  done
  new=$(fingerprint "${cmd[@]}")
  if with_systemd; then launch_unit; else launch_process; fi
}

launch_process() {
  if running "$name"; then
    [ "$print" != "$new" ] || { say "$name runs"; return; }
    stop "$name"
    verb="has changed: started anew"
  fi
  rm -f "$run/$name.pid"
  # The process writes its own pid before it becomes the daemon: whenever quickstart is killed, no daemon is unknown.
  # containerd makes containers' root folders with its umask: others than root must be able to enter them.
  setsid bash -c '[ "$2" != containerd ] || umask 022; echo "$$ $(cut -d" " -f22 /proc/$$/stat) $1" > "$0.new"; mv "$0.new" "$0"; shift 2; exec "$@"' \
    "$run/$name.pid" "$new" "$name" "${cmd[@]}" </dev/null >>"$log/$name.log" 2>&1 9>&- &
  disown
  until [ -s "$run/$name.pid" ]; do sleep 0.005; done
  say "$name $verb"
}

launch_unit() {
  local unit=$units/kubec-$name.service
  sed -e "s|@COMMAND@|${cmd[*]}|" -e "s|@FINGERPRINT@|$new|" -e "s|@ETCD@|$etcd|" -e "s|@STATE@|$state|" \
    "$here/systemd/kubec-$name.service" > "$run/unit"
  if cmp -s "$run/unit" "$unit" && running "$name"; then say "$name runs"; return; fi
  ! running "$name" || verb="has changed: started anew"
  install -m 644 "$run/unit" "$unit"
  systemctl daemon-reload
  systemctl enable -q "kubec-$name"
  systemctl reset-failed -q "kubec-$name" 2>/dev/null || true
  systemctl restart "kubec-$name" || failed "$name" "$name does not start"
  say "$name $verb"
}

failed() { # NAME WHAT: shows the end of its log
  say "$2; the end of $1's log:"
  if with_systemd; then journalctl -q --no-pager -u "kubec-$1" -n 8; else tail -n 8 "$log/$1.log"; fi >&2
  exit 1
}

await() { # SECONDS NAME WHAT COMMAND...: until the command succeeds, while the daemon lives
  local until=$((SECONDS + $1)) name=$2 what=$3; shift 3
  while [ $SECONDS -lt "$until" ]; do
    "$@" >/dev/null 2>&1 && return
    running "$name" || with_systemd || break
    sleep 0.03
  done
  failed "$name" "$what did not come"
}
