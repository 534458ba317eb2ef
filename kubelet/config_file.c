/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/codec/yaml.h"

enum { FILE_BYTES_MAX = 1 << 20 };

static const struct {
	const char *field, *flag;
} fields[] = {
    {"address", "address"},
    {"authentication.x509.clientCAFile", "client-ca-file"},
    {"clusterDNS", "cluster-dns"},
    {"clusterDomain", "cluster-domain"},
    {"containerRuntimeEndpoint", "container-runtime-endpoint"},
    {"failSwapOn", "fail-swap-on"},
    {"healthzBindAddress", "healthz-bind-address"},
    {"healthzPort", "healthz-port"},
    {"kubeReserved", "kube-reserved"},
    {"maxPods", "max-pods"},
    {"nodeStatusUpdateFrequency", "node-status-update-frequency"},
    {"podCIDR", "pod-cidr"},
    {"podLogsDir", "pod-logs-dir"},
    {"port", "port"},
    {"registerNode", "register-node"},
    {"resolvConf", "resolv-conf"},
    {"systemReserved", "system-reserved"},
    {"tlsCertFile", "tls-cert-file"},
    {"tlsPrivateKeyFile", "tls-private-key-file"},
};

/* A value in the form in which a flag takes it. */
static const char *flag_text(const struct jvalue *v, struct arena *a)
{
	switch (v->kind) {
	case JVALUE_STRING:
		return v->str;
	case JVALUE_BOOL:
		return v->b ? "true" : "false";
	case JVALUE_INT:
		return arena_printf(a, "%lld", (long long)v->i);
	case JVALUE_ARRAY: {
		const char *text = "";
		for (uint32_t i = 0; i < v->n; i++) {
			const char *item = flag_text(v->items[i], a);
			if (!item)
				return NULL;
			text = arena_printf(a, "%s%s%s", text, i ? "," : "", item);
		}
		return text;
	}
	case JVALUE_OBJECT: {
		const char *text = "";
		for (uint32_t i = 0; i < v->n; i++) {
			const char *item = flag_text(v->members[i].value, a);
			if (!item)
				return NULL;
			text = arena_printf(a, "%s%s%s=%s", text, i ? "," : "", v->members[i].key,
			                    item);
		}
		return text;
	}
	default:
		return NULL;
	}
}

static bool is_known(const char *key)
{
	size_t n = strlen(key);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (!strncmp(fields[i].field, key, n) &&
		    (!fields[i].field[n] || fields[i].field[n] == '.'))
			return true;
	return !strcmp(key, "kind") || !strcmp(key, "apiVersion");
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
	char chunk[4096];
	FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, ERR_NOT_FOUND, "open %s: %s", path, strerror(errno));
	for (size_t n; out->len < FILE_BYTES_MAX && (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
		buf_add(out, chunk, n);
	fclose(f);
	return 0;
}

int config_file_load(const char *path, const struct flag_group *groups, size_t n_groups,
                     struct arena *a, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct jvalue *doc = NULL;
	int r = read_file(path, &text, err);
	if (!r)
		r = yaml_parse(buf_view(&text), a, NULL, &doc, err);
	if (r)
		return r;
	const char *kind = jvalue_get_str(doc, "kind", "");
	if (strcmp(kind, "KubeletConfiguration"))
		return err_set(err, ERR_INVALID, "%s: kind is \"%s\", not KubeletConfiguration",
		               path, kind);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct jvalue *v = jvalue_path(doc, fields[i].field);
		struct flag *f = flags_find(groups, n_groups, fields[i].flag);
		if (!v || v->kind == JVALUE_NULL || !f || f->set)
			continue;
		const char *value = flag_text(v, a);
		if (!value)
			return err_set(err, ERR_INVALID, "%s: %s has no usable value", path,
			               fields[i].field);
		r = flag_set(f, value, a, err);
		if (r)
			return err_prefix(err, "%s", path);
	}
	for (uint32_t i = 0; doc->kind == JVALUE_OBJECT && i < doc->n; i++)
		if (!is_known(doc->members[i].key))
			log_warning("A field of the configuration has no effect",
			            LOG_STR("field", doc->members[i].key));
	return 0;
}
