/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/codec/duration.h"
#include "common/codec/json_writer.h"
#include "common/codec/yaml.h"

enum { FILE_BYTES_MAX = 1 << 20 };

static const struct {
	const char *field, *flag;
} fields[] = {
    {"address", "address"},
    {"authentication.anonymous.enabled", "anonymous-auth"},
    {"authentication.webhook.cacheTTL", "authentication-token-webhook-cache-ttl"},
    {"authentication.webhook.enabled", "authentication-token-webhook"},
    {"authentication.x509.clientCAFile", "client-ca-file"},
    {"authorization.mode", "authorization-mode"},
    {"authorization.webhook.cacheAuthorizedTTL", "authorization-webhook-cache-authorized-ttl"},
    {"authorization.webhook.cacheUnauthorizedTTL", "authorization-webhook-cache-unauthorized-ttl"},
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

/* A file's settings are safe where the flags' defaults are those of old. */
static int set_file_defaults(const struct flag_group *groups, size_t n_groups, struct arena *a,
                             struct err *err)
{
	static const struct {
		const char *flag, *value;
	} defaults[] = {
	    {"anonymous-auth", "false"},
	    {"authentication-token-webhook", "true"},
	    {"authorization-mode", "Webhook"},
	};
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
		struct flag *f = flags_find(groups, n_groups, defaults[i].flag);
		if (!f || f->set)
			continue;
		int r = flag_set(f, defaults[i].value, a, err);
		if (r)
			return r;
	}
	return 0;
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
	return set_file_defaults(groups, n_groups, a, err);
}

/* --- writing --------------------------------------------------------------------------------- */

static void write_value(const struct flag *f, struct buf *out)
{
	char text[DURATION_BYTES];
	switch (f->kind) {
	case FLAG_KIND_BOOL:
		json_write_bool(out, *f->b);
		break;
	case FLAG_KIND_INT:
		json_write_i64(out, *f->i);
		break;
	case FLAG_KIND_DURATION:
		duration_format(*f->i * 1000000, text);
		json_write_cstr(out, text);
		break;
	case FLAG_KIND_LIST:
	case FLAG_KIND_ARRAY:
		buf_byte(out, '[');
		for (size_t i = 0; i < f->list->n; i++) {
			buf_str(out, i ? "," : "");
			json_write_cstr(out, f->list->at[i]);
		}
		buf_byte(out, ']');
		break;
	case FLAG_KIND_MAP:
		buf_byte(out, '{');
		for (size_t i = 0; i < f->map->n; i++) {
			buf_str(out, i ? "," : "");
			json_write_cstr(out, f->map->at[i].key);
			buf_byte(out, ':');
			json_write_cstr(out, f->map->at[i].value);
		}
		buf_byte(out, '}');
		break;
	default:
		json_write_cstr(out, f->kind == FLAG_KIND_STR ? *f->str : "");
	}
}

/* How much of two dotted names is the same objects: "a.b." of "a.b.c" and "a.b.d". */
static size_t shared_prefix(const char *x, const char *y)
{
	size_t shared = 0;
	for (size_t i = 0; x[i] && x[i] == y[i]; i++)
		if (x[i] == '.')
			shared = i + 1;
	return shared;
}

static size_t depth(const char *field)
{
	size_t n = 0;
	for (const char *p = field; (p = strchr(p, '.')); p++)
		n++;
	return n;
}

void config_file_write(const struct flag_group *groups, size_t n_groups, struct buf *out)
{
	const char *last = "";
	/* Fields of one object stand together in the table. */
	buf_str(out, "{\"kind\":\"KubeletConfiguration\","
	             "\"apiVersion\":\"kubelet.config.k8s.io/v1beta1\"");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct flag *f = flags_find(groups, n_groups, fields[i].flag);
		const char *name = fields[i].field;
		if (!f)
			continue;
		size_t shared = shared_prefix(last, name);
		for (size_t n = depth(last + shared); n > 0; n--)
			buf_byte(out, '}');
		buf_byte(out, ',');
		for (const char *at = name + shared, *dot; (dot = strchr(at, '.')); at = dot + 1) {
			json_write_string(out, slice_of(at, (size_t)(dot - at)));
			buf_str(out, ":{");
		}
		const char *leaf = strrchr(name, '.');
		json_write_cstr(out, leaf ? leaf + 1 : name);
		buf_byte(out, ':');
		write_value(f, out);
		last = name;
	}
	for (size_t n = depth(last); n > 0; n--)
		buf_byte(out, '}');
	buf_byte(out, '}');
}
