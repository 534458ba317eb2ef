/* SPDX-License-Identifier: Apache-2.0 */
#include "kubelet/config_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/codec/duration.h"
#include "common/codec/json_writer.h"
#include "common/codec/yaml.h"
#include "kubelet/config_fields.h"

enum { FILE_BYTES_MAX = 1 << 20 };

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

/* A map as text "a<b,c<d". */
static const char *pairs_text(const struct jvalue *v, char op, struct arena *a)
{
	const char *text = "";
	for (uint32_t i = 0; v->kind == JVALUE_OBJECT && i < v->n; i++) {
		const char *item = flag_text(v->members[i].value, a);
		if (!item)
			return NULL;
		text =
		    arena_printf(a, "%s%s%s%c%s", text, i ? "," : "", v->members[i].key, op, item);
	}
	return v->kind == JVALUE_OBJECT ? text : NULL;
}

static const char *taints_text(const struct jvalue *v, struct arena *a)
{
	const char *text = "";
	for (uint32_t i = 0; v->kind == JVALUE_ARRAY && i < v->n; i++) {
		const char *value = jvalue_get_str(v->items[i], "value", "");
		text = arena_printf(a, "%s%s%s%s%s:%s", text, i ? "," : "",
		                    jvalue_get_str(v->items[i], "key", ""), *value ? "=" : "",
		                    value, jvalue_get_str(v->items[i], "effect", ""));
	}
	return v->kind == JVALUE_ARRAY ? text : NULL;
}

static const char *field_text(const struct config_field *f, const struct jvalue *v, struct arena *a)
{
	switch (f->form) {
	case CONFIG_THRESHOLDS:
		return pairs_text(v, '<', a);
	case CONFIG_PAIRS:
		return pairs_text(v, '=', a);
	case CONFIG_TAINTS:
		return taints_text(v, a);
	default:
		return flag_text(v, a);
	}
}

/* Names that nobody knows */

enum known { UNKNOWN, KNOWN_FIELD, KNOWN_OBJECT };

static enum known look_up(const char *name, const struct config_field **ret)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < n_config_fields; i++) {
		if (strncmp(config_fields[i].name, name, n))
			continue;
		*ret = &config_fields[i];
		if (!config_fields[i].name[n])
			return KNOWN_FIELD;
		if (config_fields[i].name[n] == '.')
			return KNOWN_OBJECT;
	}
	return UNKNOWN;
}

/* Lists the unknown fields below an object. */
static void find_unknown(const struct jvalue *v, const char *prefix, struct arena *a,
                         struct buf *out)
{
	for (uint32_t i = 0; v->kind == JVALUE_OBJECT && i < v->n; i++) {
		const char *key = v->members[i].key;
		const char *name = arena_printf(a, "%s%s%s", prefix, *prefix ? "." : "", key);
		const struct config_field *f;
		if (!*prefix && (!strcmp(key, "kind") || !strcmp(key, "apiVersion")))
			continue;
		switch (look_up(name, &f)) {
		case UNKNOWN:
			buf_printf(out, "%sunknown field \"%s\"", out->len ? ", " : "", name);
			break;
		case KNOWN_OBJECT:
			find_unknown(v->members[i].value, name, a, out);
			break;
		case KNOWN_FIELD:
			if (!f->flag)
				log_warning("A field of the configuration has no effect",
				            LOG_STR("field", name));
		}
	}
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

static int check_kind(const struct jvalue *doc, struct err *err)
{
	const char *kind = jvalue_get_str(doc, "kind", "");
	const char *version = jvalue_get_str(doc, "apiVersion", "");
	if (!*kind)
		return err_set(err, ERR_INVALID, "Object 'Kind' is missing");
	if (strcmp(version, "kubelet.config.k8s.io/v1beta1") ||
	    strcmp(kind, "KubeletConfiguration"))
		return err_set(err, ERR_INVALID, "no kind \"%s\" is registered for version \"%s\"",
		               kind, version);
	return 0;
}

static int check_names(const struct jvalue *doc, struct arena *a, struct err *err)
{
	_cleanup_buf_ struct buf unknown = BUF_INIT;
	find_unknown(doc, "", a, &unknown);
	return unknown.len ? err_set(err, ERR_INVALID, "strict decoding error: %s",
	                             (const char *)unknown.data)
	                   : 0;
}

static int set_field(const struct config_field *field, const struct jvalue *doc,
                     const struct flag_group *groups, size_t n_groups, struct arena *a,
                     struct err *err)
{
	const struct jvalue *v = jvalue_path(doc, field->name);
	struct flag *f = field->flag ? flags_find(groups, n_groups, field->flag) : NULL;
	if (!v || v->kind == JVALUE_NULL || !f || f->set || f->kind == FLAG_KIND_NO_EFFECT)
		return 0;
	const char *value = field_text(field, v, a);
	if (!value)
		return err_set(err, ERR_INVALID, "field %s has no usable value", field->name);
	return flag_set(f, value, a, err);
}

int config_file_load(const char *path, const struct flag_group *groups, size_t n_groups,
                     struct arena *a, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct jvalue *doc = NULL;
	int r = read_file(path, &text, err);
	if (r)
		return r;
	r = yaml_parse(buf_view(&text), a, NULL, &doc, err);
	if (!r)
		r = check_kind(doc, err);
	if (!r)
		r = check_names(doc, a, err);
	for (size_t i = 0; !r && i < n_config_fields; i++)
		r = set_field(&config_fields[i], doc, groups, n_groups, a, err);
	if (r)
		return err_prefix(
		    err, "failed to load Kubelet config file %s, error failed to decode", path);
	return set_file_defaults(groups, n_groups, a, err);
}

/* --- writing --------------------------------------------------------------------------------- */

/* "a<b,c<d" as an object. */
static void write_pairs(const char *text, char op, struct buf *out)
{
	buf_byte(out, '{');
	for (const char *at = text; *at;) {
		size_t n = strcspn(at, ",");
		const char *cut = memchr(at, op, n);
		size_t key = cut ? (size_t)(cut - at) : n;
		json_write_string(out, slice_of(at, key));
		buf_byte(out, ':');
		json_write_string(out, cut ? slice_of(cut + 1, n - key - 1) : SLICE_EMPTY);
		at += n + (at[n] == ',');
		buf_str(out, *at ? "," : "");
	}
	buf_byte(out, '}');
}

/* "key=value:effect" as objects. */
static void write_taints(const flag_list *l, struct buf *out)
{
	buf_byte(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		const char *t = l->at[i];
		size_t key = strcspn(t, "=:"), value = strcspn(t, ":");
		buf_str(out, i ? ",{\"key\":" : "{\"key\":");
		json_write_string(out, slice_of(t, key));
		if (value > key) {
			buf_str(out, ",\"value\":");
			json_write_string(out, slice_of(t + key + 1, value - key - 1));
		}
		buf_str(out, ",\"effect\":");
		json_write_cstr(out, t[value] ? t + value + 1 : "");
		buf_byte(out, '}');
	}
	buf_byte(out, ']');
}

static void write_value(const struct config_field *field, const struct flag *f, struct buf *out)
{
	if (field->form == CONFIG_THRESHOLDS || field->form == CONFIG_PAIRS) {
		write_pairs(*f->str, field->form == CONFIG_PAIRS ? '=' : '<', out);
		return;
	}
	if (field->form == CONFIG_TAINTS) {
		write_taints(f->list, out);
		return;
	}
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
	for (size_t i = 0; i < n_config_fields; i++) {
		const struct config_field *field = &config_fields[i];
		const struct flag *f =
		    field->flag ? flags_find(groups, n_groups, field->flag) : NULL;
		const char *name = field->name;
		if (!f || f->kind == FLAG_KIND_NO_EFFECT)
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
		write_value(field, f, out);
		last = name;
	}
	for (size_t n = depth(last); n > 0; n--)
		buf_byte(out, '}');
	buf_byte(out, '}');
}
