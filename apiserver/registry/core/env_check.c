/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "apiserver/registry/core/pod_spec.h"

/* Field paths that v1 pods have, apart from subscripts. */
static const char *const pod_fields[] = {"metadata.annotations",
                                         "metadata.labels",
                                         "metadata.name",
                                         "metadata.namespace",
                                         "metadata.uid",
                                         "spec.nodeName",
                                         "spec.restartPolicy",
                                         "spec.schedulerName",
                                         "spec.serviceAccountName",
                                         "spec.host",
                                         "status.hostIP",
                                         "status.hostIPs",
                                         "status.phase",
                                         "status.podIP",
                                         "status.podIPs",
                                         NULL};
static const char *const env_fields[] = {"metadata.name",
                                         "metadata.namespace",
                                         "metadata.uid",
                                         "spec.nodeName",
                                         "spec.serviceAccountName",
                                         "status.hostIP",
                                         "status.hostIPs",
                                         "status.podIP",
                                         "status.podIPs",
                                         NULL};
static const char *const volume_fields[] = {"metadata.annotations", "metadata.labels",
                                            "metadata.name",        "metadata.namespace",
                                            "metadata.uid",         NULL};

/* metadata.labels['key'] */
static bool check_subscript(errs_t errs, path_t p, const char *text, const char *map)
{
	size_t n = strlen(map), len = strlen(text);
	const char *msgs[NAMES_MAX];

	if (strncmp(text, map, n) || strncmp(text + n, "['", 2) || len < n + 4 ||
	    strcmp(text + len - 2, "']"))
		return false;
	char *key = arena_strndup(errs->arena, text + n + 2, len - n - 4);
	for (char *c = key; *c; c++)
		if (!strcmp(map, "metadata.annotations") && *c >= 'A' && *c <= 'Z')
			*c = (char)(*c + 32);
	size_t n_msgs = names_qualified(key, errs->arena, msgs);
	for (size_t i = 0; i < n_msgs; i++)
		field_invalid(errs, p, key, msgs[i]);
	return true;
}

void field_selector_check(errs_t errs, path_t p, const CoreV1__ObjectFieldSelector *f, bool volume)
{
	path_t at = FIELD(p, "fieldPath");
	const char *const *supported = volume ? volume_fields : env_fields;

	if (!*f->api_version) {
		field_required(errs, FIELD(p, "apiVersion"), "");
	} else if (!*f->field_path) {
		field_required(errs, at, "");
	} else if (check_subscript(errs, at, f->field_path, "metadata.labels") ||
	           check_subscript(errs, at, f->field_path, "metadata.annotations")) {
		return;
	} else if (strcmp(f->api_version, "v1")) {
		field_add(errs, FIELD_INVALID, at, field_quote(errs->arena, f->field_path),
		          "error converting fieldPath: unsupported pod version: %s",
		          f->api_version);
	} else if (!list_has(pod_fields, f->field_path)) {
		field_add(errs, FIELD_INVALID, at, field_quote(errs->arena, f->field_path),
		          "error converting fieldPath: field label not supported: %s",
		          f->field_path);
	} else if (strcmp(f->field_path, "spec.host")) {
		check_enum(errs, at, f->field_path, supported);
	}
}

static void check_divisor(errs_t errs, path_t p, const char *resource, const char *divisor)
{
	static const char *const cpu[] = {"1m", "1", NULL};
	static const char *const bytes[] = {"1",   "1k",  "1M",  "1G",  "1T",  "1P",  "1E",
	                                    "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL};
	bool is_cpu = has_suffix(resource, ".cpu");

	if (!*divisor || !strcmp(divisor, "0") || list_has(is_cpu ? cpu : bytes, divisor))
		return;
	if (is_cpu)
		field_invalid(errs, FIELD(p, "divisor"), divisor,
		              "only divisor's values 1m and 1 are supported with the cpu resource");
	else
		field_add(errs, FIELD_INVALID, FIELD(p, "divisor"),
		          field_quote(errs->arena, divisor),
		          "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, "
		          "1Pi, 1Ei are supported with the %s resource",
		          strchr(resource, '.') + 1);
}

void resource_field_check(errs_t errs, path_t p, const CoreV1__ResourceFieldSelector *r,
                          bool volume)
{
	static const char *const supported[] = {"limits.cpu",
	                                        "limits.ephemeral-storage",
	                                        "limits.memory",
	                                        "requests.cpu",
	                                        "requests.ephemeral-storage",
	                                        "requests.memory",
	                                        NULL};

	if (volume && !*r->container_name)
		field_required(errs, FIELD(p, "containerName"), "");
	else if (!*r->resource)
		field_required(errs, FIELD(p, "resource"), "");
	else if (!has_prefix(r->resource, "limits.hugepages-") &&
	         !has_prefix(r->resource, "requests.hugepages-"))
		if (check_enum(errs, FIELD(p, "resource"), r->resource, supported))
			check_divisor(errs, p, r->resource, r->divisor->string);
}

static void check_key(errs_t errs, path_t p, const char *key)
{
	if (!*key)
		field_required(errs, p, "");
	else
		check_name(errs, p, key, names_config_map_key);
}

static void check_file_key(errs_t errs, path_t p, const CoreV1__FileKeySelector *f)
{
	check_required(errs, FIELD(p, "key"), f->key);
	check_required(errs, FIELD(p, "volumeName"), f->volume_name);
	if (check_required(errs, FIELD(p, "path"), f->path))
		local_path_check(errs, FIELD(p, "path"), f->path);
}

static void check_value_from(errs_t errs, path_t p, const CoreV1__EnvVar *e)
{
	const CoreV1__EnvVarSource *v = e->value_from;
	int n = 0;

	if (v->field_ref) {
		n++;
		field_selector_check(errs, FIELD(p, "fieldRef"), v->field_ref, false);
	}
	if (v->resource_field_ref) {
		n++;
		resource_field_check(errs, FIELD(p, "resourceFieldRef"), v->resource_field_ref,
		                     false);
	}
	if (v->config_map_key_ref) {
		n++;
		check_key(errs, FIELD(p, "configMapKeyRef.key"), v->config_map_key_ref->key);
	}
	if (v->secret_key_ref) {
		n++;
		check_key(errs, FIELD(p, "secretKeyRef.key"), v->secret_key_ref->key);
	}
	if (v->file_key_ref) {
		n++;
		check_file_key(errs, FIELD(p, "fileKeyRef"), v->file_key_ref);
	}
	if (!n)
		field_invalid(errs, p, "",
		              "must specify one of: `fieldRef`, `resourceFieldRef`, "
		              "`configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
	if (*e->value && n)
		field_invalid(errs, p, "", "may not be specified when `value` is not empty");
	else if (!*e->value && n > 1)
		field_invalid(errs, p, "", "may not have more than one field specified at a time");
}

static void check_env_from(errs_t errs, path_t p, const CoreV1__EnvFromSource *e)
{
	if (*e->prefix)
		check_name(errs, FIELD(p, "prefix"), e->prefix, names_relaxed_env_var);
	if (e->config_map_ref)
		check_required(errs, FIELD(p, "configMapRef.name"),
		               e->config_map_ref->local_object_reference->name);
	if (e->secret_ref)
		check_required(errs, FIELD(p, "secretRef.name"),
		               e->secret_ref->local_object_reference->name);
	if (!e->config_map_ref && !e->secret_ref)
		field_invalid(errs, p, "", "must specify one of: `configMapRef` or `secretRef`");
	if (e->config_map_ref && e->secret_ref)
		field_invalid(errs, p, "", "may not have more than one field specified at a time");
}

void env_check(struct pod_scope *s, path_t p, const CoreV1__Container *c)
{
	for (size_t i = 0; i < c->n_env; i++) {
		const CoreV1__EnvVar *e = c->env[i];
		path_t at = FIELD_INDEX(FIELD(p, "env"), i);
		check_required_name(s->errs, FIELD(at, "name"), e->name, names_relaxed_env_var);
		if (e->value_from)
			check_value_from(s->errs, FIELD(at, "valueFrom"), e);
	}
	for (size_t i = 0; i < c->n_env_from; i++)
		check_env_from(s->errs, FIELD_INDEX(FIELD(p, "envFrom"), i), c->env_from[i]);
}
