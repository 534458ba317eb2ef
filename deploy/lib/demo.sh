# shellcheck shell=bash
# Three web servers behind a Service, and its answer.
demo() {
  local web=localhost/nginx:1 command='["/usr/sbin/nginx"]' tar vip answer='' i
  if ! ctr images ls -q | grep -qx "$web"; then
    [ -s "$build/deploy/images/nginx.tar" ] || say "packing nginx"
    # Without a mirror to have it from, busybox serves the demo.
    if tar=$("$here/images/pack" nginx "$build"); then
      ctr images import "$tar" >/dev/null
    else
      web=localhost/busybox:1
      command='[sh, -c, "echo hello from $HOSTNAME > /var/www/index.html; exec httpd -f -h /var/www"]'
    fi
  fi
  for ((i = 0; i < 300; i++)); do
    ! kubectl get serviceaccount default >/dev/null 2>&1 || break
    sleep 0.1
  done
  kubectl apply -f - >/dev/null <<T
apiVersion: apps/v1
kind: Deployment
metadata: {name: demo}
spec:
  replicas: 3
  selector: {matchLabels: {app: demo}}
  template:
    metadata: {labels: {app: demo}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: $web
        command: $command
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: demo}
spec:
  selector: {app: demo}
  ports: [{port: 80}]
T
  say "waiting for the demo: three pods behind a Service"
  kubectl rollout status deployment/demo --timeout=90s >/dev/null || { kubectl describe pods; die "the demo's pods do not become ready"; }
  vip=$(kubectl get service demo -o jsonpath='{.spec.clusterIP}')
  for ((i = 0; i < 100; i++)); do
    answer=$(curl -s -m 2 "http://$vip/") && [ -n "$answer" ] && break
    sleep 0.1
  done
  [ -n "$answer" ] || die "the demo does not answer at http://$vip/"
  kubectl get nodes,pods,services -o wide
  say "http://$vip/ answers: $answer"
}
