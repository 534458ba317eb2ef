/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/proxy/proxy.h"

#include "apiserver/proxy/proxy_impl.h"
#include "common/base/heap.h"
#include "common/net/loop.h"

static void free_client(void *arg)
{
	http_client_free(arg);
}

void proxy_client_free(struct loop *loop, struct http_client *client)
{
	if (client)
		loop_post(loop, free_client, client);
}

const struct status *proxy_unreachable(struct arena *a, const char *what, const struct err *err)
{
	return status_new(a, 500, "", "%s: %s", what, err->text);
}

static int make_tls(struct proxy *p, struct err *err)
{
	struct tls_options tls = {.insecure_skip_verify = true};
	int r = tls_context_new(&tls, &p->any, err);

	tls.cert_file = p->o.kubelet_cert_file;
	tls.key_file = p->o.kubelet_key_file;
	if (!r)
		r = tls_context_new(&tls, &p->kubelet_insecure, err);
	tls.ca_file = p->o.kubelet_ca_file;
	tls.insecure_skip_verify = !p->o.kubelet_ca_file;
	return r ? r : tls_context_new(&tls, &p->kubelet, err);
}

static void make_metrics(struct proxy *p)
{
	p->translated = metrics_counter(
	    p->o.metrics, "apiserver_stream_translator_requests_total",
	    "WebSocket streams that were translated to SPDY, by their end.", "code");
	p->log_backends = metrics_counter(
	    p->o.metrics, "kube_apiserver_pod_logs_insecure_backend_total",
	    "Logs that were fetched, by whether the kubelet's certificate was checked.", "usage");
	p->tunnelled = metrics_counter(
	    p->o.metrics, "apiserver_stream_tunnel_requests_total",
	    "SPDY connections that came inside of WebSockets, by their answer.", "code");
}

int proxy_new(const struct proxy_options *o, struct pipeline *pipeline, struct proxy **ret,
              struct err *err)
{
	static const struct {
		const char *resource, *subresource;
		endpoint_handler serve;
	} handlers[] = {
	    {"pods", "log", proxy_pod_log},     {"pods", "exec", proxy_connect},
	    {"pods", "attach", proxy_connect},  {"pods", "portforward", proxy_connect},
	    {"pods", "proxy", proxy_resource},  {"services", "proxy", proxy_resource},
	    {"nodes", "proxy", proxy_resource},
	};
	struct proxy *p = heap_new(struct proxy);

	p->o = *o;
	int r = make_tls(p, err);
	if (r) {
		proxy_free(p);
		return err_prefix(err, "kubelet client");
	}
	make_metrics(p);
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		pipeline_handle(pipeline, "", handlers[i].resource, handlers[i].subresource,
		                handlers[i].serve, p);
	*ret = p;
	return 0;
}

void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	tls_context_unref(p->kubelet);
	tls_context_unref(p->kubelet_insecure);
	tls_context_unref(p->any);
	free(p);
}
