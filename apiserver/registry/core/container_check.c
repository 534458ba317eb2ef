/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "apiserver/registry/core/pod_spec.h"

_Static_assert(sizeof(CoreV1__Container) == sizeof(CoreV1__EphemeralContainerCommon),
               "ephemeral containers share the layout of containers");
_Static_assert(offsetof(CoreV1__Container, restart_policy) ==
                   offsetof(CoreV1__EphemeralContainerCommon, restart_policy),
               "ephemeral containers share the layout of containers");

enum { RESTART_RULES_MAX = 20, RESTART_CODES_MAX = 255 };

static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};

const CoreV1__Container *ephemeral_as_container(const CoreV1__EphemeralContainer *e)
{
	return (const CoreV1__Container *)e->ephemeral_container_common;
}

static bool has_backsteps(const char *path)
{
	for (const char *s = path; s; s = strchr(s, '/')) {
		s += *s == '/';
		if (s[0] == '.' && s[1] == '.' && (!s[2] || s[2] == '/'))
			return true;
	}
	return false;
}

void no_backsteps_check(errs_t errs, path_t p, const char *path)
{
	if (has_backsteps(path))
		field_invalid(errs, p, path, "must not contain '..'");
}

void local_path_check(errs_t errs, path_t p, const char *path)
{
	if (*path == '/')
		field_invalid(errs, p, path, "must be a relative path");
	no_backsteps_check(errs, p, path);
}

static void check_ports(struct pod_scope *s, path_t p, const CoreV1__Container *c,
                        enum container_kind kind)
{
	struct index seen = INDEX_IN(s->errs->arena);
	for (size_t i = 0; i < c->n_ports; i++) {
		const CoreV1__ContainerPort *port = c->ports[i];
		path_t at = FIELD_INDEX(p, i);
		if (*port->name &&
		    check_name(s->errs, FIELD(at, "name"), port->name, names_port_name))
			if (!index_add(&seen, port->name, 0)) {
				field_duplicate(s->errs, FIELD(at, "name"), port->name);
			}
		if (!port->container_port)
			field_required(s->errs, FIELD(at, "containerPort"), "");
		else
			check_port(s->errs, FIELD(at, "containerPort"), port->container_port);
		if (port->host_port)
			check_port(s->errs, FIELD(at, "hostPort"), port->host_port);
		if (s->spec->host_network && kind == CONTAINER_MAIN &&
		    (port->host_port || !s->is_template) && port->host_port != port->container_port)
			field_invalid_int(s->errs, FIELD(at, "hostPort"), port->host_port,
			                  "must match `containerPort` when `hostNetwork` is true");
		check_required_enum(s->errs, FIELD(at, "protocol"), port->protocol, protocols);
		if (*port->host_ip)
			check_name(s->errs, FIELD(at, "hostIP"), port->host_ip, names_ip);
	}
}

/* A host port may be used once by all these containers. */
static void check_host_ports(struct pod_scope *s, path_t list, CoreV1__Container *const *at,
                             size_t n)
{
	struct index seen = INDEX_IN(s->errs->arena);

	for (size_t i = 0; i < n; i++) {
		path_t ports = FIELD(FIELD_INDEX(list, i), "ports");
		for (size_t j = 0; j < at[i]->n_ports; j++) {
			const CoreV1__ContainerPort *port = at[i]->ports[j];
			if (!port->host_port)
				continue;
			const char *key = arena_printf(s->errs->arena, "%s/%s/%d", port->protocol,
			                               port->host_ip, port->host_port);
			if (!index_add(&seen, key, 0))
				field_duplicate(s->errs, FIELD(FIELD_INDEX(ports, j), "hostPort"),
				                key);
		}
	}
}

static void check_mount_propagation(struct pod_scope *s, path_t p, const CoreV1__Container *c,
                                    const CoreV1__VolumeMount *m)
{
	if (!m->mount_propagation)
		return;
	check_enum(s->errs, p, m->mount_propagation,
	           LIST("Bidirectional", "HostToContainer", "None"));
	if (!strcmp(m->mount_propagation, "Bidirectional") &&
	    !(c->security_context && c->security_context->privileged))
		field_forbidden(s->errs, p,
		                "Bidirectional mount propagation is available only to privileged "
		                "containers");
}

static void check_recursive_read_only(struct pod_scope *s, path_t p, const CoreV1__VolumeMount *m)
{
	path_t at = FIELD(p, "recursiveReadOnly");

	if (!m->recursive_read_only)
		return;
	if (list_has(LIST("IfPossible", "Enabled"), m->recursive_read_only)) {
		if (!m->read_only)
			field_forbidden(s->errs, at, "may only be specified when readOnly is true");
		if (m->mount_propagation && strcmp(m->mount_propagation, "None"))
			field_forbidden(
			    s->errs, at,
			    "may only be specified when mountPropagation is None or not "
			    "specified");
	} else {
		check_enum(s->errs, at, m->recursive_read_only,
		           LIST("Disabled", "IfPossible", "Enabled"));
	}
}

static void check_mounts(struct pod_scope *s, path_t p, const CoreV1__Container *c)
{
	struct index devices = INDEX_IN(s->errs->arena), device_paths = devices;

	for (size_t i = 0; i < c->n_volume_devices; i++) {
		index_add(&devices, c->volume_devices[i]->name, 0);
		index_add(&device_paths, c->volume_devices[i]->device_path, 0);
	}
	struct index seen = INDEX_IN(s->errs->arena);
	for (size_t i = 0; i < c->n_volume_mounts; i++) {
		const CoreV1__VolumeMount *m = c->volume_mounts[i];
		path_t at = FIELD_INDEX(p, i);
		if (!*m->name)
			field_required(s->errs, FIELD(at, "name"), "");
		if (!pod_volume(s, m->name))
			field_not_found(s->errs, FIELD(at, "name"), m->name);
		if (!*m->mount_path)
			field_required(s->errs, FIELD(at, "mountPath"), "");
		if (!index_add(&seen, m->mount_path, 0)) {
			field_invalid(s->errs, FIELD(at, "mountPath"), m->mount_path,
			              "must be unique");
		}
		if (index_has(&devices, m->name))
			field_invalid(s->errs, FIELD(at, "name"), m->name,
			              "must not already exist in volumeDevices");
		if (index_has(&device_paths, m->mount_path))
			field_invalid(s->errs, FIELD(at, "mountPath"), m->mount_path,
			              "must not already exist as a path in volumeDevices");
		if (*m->sub_path)
			local_path_check(s->errs, FIELD(p, "subPath"), m->sub_path);
		if (*m->sub_path_expr) {
			if (*m->sub_path)
				field_invalid(s->errs, FIELD(at, "subPathExpr"), m->sub_path_expr,
				              "subPathExpr and subPath are mutually exclusive");
			local_path_check(s->errs, FIELD(p, "subPathExpr"), m->sub_path_expr);
		}
		check_mount_propagation(s, FIELD(p, "mountPropagation"), c, m);
		check_recursive_read_only(s, p, m);
	}
}

static void check_device(struct pod_scope *s, path_t at, const CoreV1__VolumeDevice *d)
{
	const CoreV1__Volume *v = pod_volume(s, d->name);

	if (!*d->name)
		field_required(s->errs, FIELD(at, "name"), "");
	if (!v)
		field_not_found(s->errs, FIELD(at, "name"), d->name);
	else if (!v->volume_source->persistent_volume_claim && !v->volume_source->ephemeral)
		field_invalid(s->errs, FIELD(at, "name"), d->name,
		              "can only use volume source type of PersistentVolumeClaim or "
		              "Ephemeral for block mode");
	if (!*d->device_path)
		field_required(s->errs, FIELD(at, "devicePath"), "");
	else if (has_backsteps(d->device_path))
		field_invalid(s->errs, FIELD(at, "devicePath"), d->device_path,
		              "can not contain backsteps ('..')");
}

static void check_devices(struct pod_scope *s, path_t p, const CoreV1__Container *c)
{
	struct index names = INDEX_IN(s->errs->arena), paths = names;
	struct index mounts = names, mount_paths = names;

	for (size_t i = 0; i < c->n_volume_mounts; i++) {
		index_add(&mounts, c->volume_mounts[i]->name, 0);
		index_add(&mount_paths, c->volume_mounts[i]->mount_path, 0);
	}
	for (size_t i = 0; i < c->n_volume_devices; i++) {
		const CoreV1__VolumeDevice *d = c->volume_devices[i];
		path_t at = FIELD_INDEX(p, i), name = FIELD(at, "name"),
		       path = FIELD(at, "devicePath");
		check_device(s, at, d);
		if (*d->name && !index_add(&names, d->name, 0))
			field_invalid(s->errs, name, d->name, "must be unique");
		if (!index_add(&paths, d->device_path, 0))
			field_invalid(s->errs, path, d->device_path, "must be unique");
		if (index_has(&mounts, d->name))
			field_invalid(s->errs, name, d->name,
			              "must not already exist in volumeMounts");
		if (index_has(&mount_paths, d->device_path))
			field_invalid(s->errs, path, d->device_path,
			              "must not already exist as a path in volumeMounts");
	}
}

static void check_image(struct pod_scope *s, path_t p, const CoreV1__Container *c)
{
	size_t len = strlen(c->image);
	static const char space[] = " \t\n\v\f\r";

	if (!len)
		field_required(s->errs, FIELD(p, "image"), "");
	else if (!s->is_template &&
	         (strchr(space, c->image[0]) || strchr(space, c->image[len - 1])))
		field_invalid(s->errs, FIELD(p, "image"), c->image,
		              "must not have leading or trailing whitespace");
}

static void check_resize_policy(struct pod_scope *s, path_t p, const CoreV1__Container *c)
{
	struct index seen = INDEX_IN(s->errs->arena);

	for (size_t i = 0; i < c->n_resize_policy; i++) {
		const CoreV1__ContainerResizePolicy *r = c->resize_policy[i];
		if (!index_add(&seen, r->resource_name, 0))
			field_duplicate(s->errs, FIELD_INDEX(p, i), r->resource_name);
		check_required_enum(s->errs, p, r->resource_name, LIST("cpu", "memory"));
		check_required_enum(s->errs, p, r->restart_policy,
		                    LIST("NotRequired", "RestartContainer"));
		if (!strcmp(s->spec->restart_policy, "Never") &&
		    strcmp(r->restart_policy, "NotRequired"))
			field_invalid(s->errs, p, r->restart_policy,
			              "must be 'NotRequired' when `restartPolicy` is 'Never'");
	}
}

static void check_common(struct pod_scope *s, path_t p, const CoreV1__Container *c,
                         enum container_kind kind)
{
	check_required_name(s->errs, FIELD(p, "name"), c->name, names_dns1123_label);
	check_image(s, p, c);
	check_required_enum(s->errs, FIELD(p, "terminationMessagePolicy"),
	                    c->termination_message_policy, LIST("File", "FallbackToLogsOnError"));
	if (kind != CONTAINER_EPHEMERAL)
		check_ports(s, FIELD(p, "ports"), c, kind);
	env_check(s, p, c);
	check_mounts(s, FIELD(p, "volumeMounts"), c);
	check_devices(s, FIELD(p, "volumeDevices"), c);
	check_required_enum(s->errs, FIELD(p, "imagePullPolicy"), c->image_pull_policy,
	                    LIST("Always", "IfNotPresent", "Never"));
	if (kind != CONTAINER_EPHEMERAL)
		resources_check(s, FIELD(p, "resources"), c->resources);
	check_resize_policy(s, FIELD(p, "resizePolicy"), c);
	container_security_check(s, FIELD(p, "securityContext"), c->security_context);
}

/* Names are unique over all containers of the pod. */
static void check_unique(struct pod_scope *s, path_t p, const char *name)
{
	if (*name && !index_add(&s->names, name, 0))
		field_duplicate(s->errs, FIELD(p, "name"), name);
}

static void check_restart_rule(errs_t errs, path_t p, const CoreV1__ContainerRestartRule *r)
{
	const CoreV1__ContainerRestartRuleOnExitCodes *codes = r->exit_codes;

	check_enum(errs, FIELD(p, "action"), r->action, LIST("Restart", "RestartAllContainers"));
	if (!codes) {
		field_required(errs, FIELD(p, "exitCodes"), "must be specified");
		return;
	}
	check_enum(errs, FIELD(p, "exitCodes.operator"), codes->operator_, LIST("In", "NotIn"));
	if (codes->n_values > RESTART_CODES_MAX)
		field_too_long(errs, FIELD(p, "exitCodes.values"), RESTART_CODES_MAX);
}

static void check_restart_policy(struct pod_scope *s, path_t p, const CoreV1__Container *c)
{
	path_t rules = FIELD(p, "restartPolicyRules");

	if (c->restart_policy)
		check_enum(s->errs, FIELD(p, "restartPolicy"), c->restart_policy,
		           LIST("Always", "OnFailure", "Never"));
	if (c->n_restart_policy_rules && !c->restart_policy)
		field_required(s->errs, FIELD(p, "restartPolicy"),
		               "must specify restartPolicy when restart rules are used");
	if (c->n_restart_policy_rules > RESTART_RULES_MAX)
		field_too_long(s->errs, rules, RESTART_RULES_MAX);
	for (size_t i = 0; i < c->n_restart_policy_rules && i < RESTART_RULES_MAX; i++)
		check_restart_rule(s->errs, FIELD_INDEX(rules, i), c->restart_policy_rules[i]);
}

void pod_each_container(const CoreV1__PodSpec *spec, path_t spec_path,
                        void (*fn)(void *arg, path_t p, const CoreV1__Container *c), void *arg)
{
	for (size_t i = 0; i < spec->n_init_containers; i++)
		fn(arg, FIELD_INDEX(FIELD(spec_path, "initContainers"), i),
		   spec->init_containers[i]);
	for (size_t i = 0; i < spec->n_containers; i++)
		fn(arg, FIELD_INDEX(FIELD(spec_path, "containers"), i), spec->containers[i]);
	for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
		fn(arg, FIELD_INDEX(FIELD(spec_path, "ephemeralContainers"), i),
		   ephemeral_as_container(spec->ephemeral_containers[i]));
}

void containers_check(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;

	if (!spec->n_containers)
		field_required(s->errs, FIELD(s->spec_path, "containers"), "");
	for (size_t i = 0; i < spec->n_containers; i++) {
		const CoreV1__Container *c = spec->containers[i];
		path_t at = FIELD_INDEX(FIELD(s->spec_path, "containers"), i);
		check_common(s, at, c, CONTAINER_MAIN);
		check_unique(s, at, c->name);
		probes_check(s, at, c, CONTAINER_MAIN);
		check_restart_policy(s, at, c);
	}
	check_host_ports(s, FIELD(s->spec_path, "containers"), spec->containers,
	                 spec->n_containers);
	for (size_t i = 0; i < spec->n_init_containers; i++) {
		const CoreV1__Container *c = spec->init_containers[i];
		path_t at = FIELD_INDEX(FIELD(s->spec_path, "initContainers"), i);
		check_common(s, at, c, CONTAINER_INIT);
		check_unique(s, at, c->name);
		check_host_ports(s, FIELD(s->spec_path, "initContainers"),
		                 &spec->init_containers[i], 1);
		probes_check(s, at, c, CONTAINER_INIT);
		check_restart_policy(s, at, c);
	}
}

static void forbid_ephemeral(struct pod_scope *s, path_t p, const char *field, bool set)
{
	if (set)
		field_forbidden(s->errs, FIELD(p, field),
		                "cannot be set for an Ephemeral Container");
}

void ephemeral_containers_check(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;
	const struct index targets = s->names; /* all other containers: what was met so far */

	for (size_t i = 0; i < spec->n_ephemeral_containers; i++) {
		const CoreV1__EphemeralContainer *e = spec->ephemeral_containers[i];
		const CoreV1__Container *c = ephemeral_as_container(e);
		path_t at = FIELD_INDEX(FIELD(s->spec_path, "ephemeralContainers"), i);
		const char *target = e->target_container_name;
		check_common(s, at, c, CONTAINER_EPHEMERAL);
		check_unique(s, at, c->name);
		if (*target && !index_has(&targets, target))
			field_not_found(s->errs, FIELD(at, "targetContainerName"), target);
		forbid_ephemeral(s, at, "ports", c->n_ports);
		forbid_ephemeral(s, at, "livenessProbe", c->liveness_probe);
		forbid_ephemeral(s, at, "readinessProbe", c->readiness_probe);
		forbid_ephemeral(s, at, "startupProbe", c->startup_probe);
		forbid_ephemeral(s, at, "lifecycle", c->lifecycle);
		forbid_ephemeral(s, at, "restartPolicy", c->restart_policy);
		forbid_ephemeral(s, at, "resizePolicy", c->n_resize_policy);
		forbid_ephemeral(s, at, "resources",
		                 c->resources->n_limits || c->resources->n_requests ||
		                     c->resources->n_claims);
		for (size_t j = 0; j < c->n_volume_mounts; j++) {
			path_t m = FIELD_INDEX(FIELD(at, "volumeMounts"), j);
			forbid_ephemeral(s, m, "subPath", *c->volume_mounts[j]->sub_path);
			forbid_ephemeral(s, m, "subPathExpr", *c->volume_mounts[j]->sub_path_expr);
		}
	}
}
