# shellcheck shell=bash
# quickstart --control-plane-only DIR: raftstore and kube-apiserver in the foreground on free loopback ports.

# A loopback port that nobody listens on, nor on the next one.
free_port() {
  local p
  while :; do
    p=$((20000 + RANDOM % 12000))
    ss -Hltn | grep -qE ":($p|$((p + 1))) " || break
  done
  echo "$p"
}

control_plane_only() { # DIR
  local dir port client peer pki store api
  mkdir -p "$1"
  dir=$(cd "$1" && pwd)
  port=$(free_port) client=$(free_port) peer=$(free_port) pki=$dir/pki
  say "making certificates in $pki"
  "$here/pki" "$dir" "$(uname -n)" 127.0.0.1 "$port" alice
  say "starting raftstore and kube-apiserver on ports $client and $port"
  "$build/raftstore/raftstore" --name alone --data-dir "$dir/etcd" --listen-client-urls "https://127.0.0.1:$client" \
    --advertise-client-urls "https://127.0.0.1:$client" --listen-peer-urls "https://127.0.0.1:$peer" \
    --initial-advertise-peer-urls "https://127.0.0.1:$peer" --initial-cluster "alone=https://127.0.0.1:$peer" \
    --listen-metrics-urls "http://127.0.0.1:$((client + 1))" --client-cert-auth \
    --trusted-ca-file "$pki/etcd/ca.crt" --cert-file "$pki/etcd/server.crt" --key-file "$pki/etcd/server.key" \
    </dev/null >"$dir/raftstore.log" 2>&1 &
  store=$!
  "$build/apiserver/kube-apiserver" --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$port" \
    --etcd-servers "https://127.0.0.1:$client" --etcd-cafile "$pki/etcd/ca.crt" \
    --etcd-certfile "$pki/apiserver-etcd-client.crt" --etcd-keyfile "$pki/apiserver-etcd-client.key" \
    --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --service-account-key-file "$pki/sa.pub" --service-account-signing-key-file "$pki/sa.key" "${api_flags[@]}" \
    </dev/null >"$dir/kube-apiserver.log" 2>&1 &
  api=$!
  # shellcheck disable=SC2064  # the pids as they are now
  trap "kill $api $store 2>/dev/null; wait" EXIT
  trap 'exit 0' INT TERM
  until kubectl --kubeconfig "$dir/admin.conf" get --raw /readyz --request-timeout=2s >/dev/null 2>&1; do
    kill -0 "$api" && kill -0 "$store" || { tail -n 5 "$dir"/*.log >&2; exit 1; }
    sleep 0.05
  done
  say "ready: export KUBECONFIG=$dir/admin.conf; logs in $dir; Ctrl-C ends it"
  wait -n "$api" "$store" || true
  exit 1
}
