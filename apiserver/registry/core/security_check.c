/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod_spec.h"

enum { ID_MAX = INT32_MAX, SYSCTL_NAME_MAX = 253, APPARMOR_BYTES_MAX = 4095 };

static const char spaces[] = " \t\n\v\f\r";

static void check_id(errs_t errs, path_t p, bool has, int64_t id)
{
	if (has && (id < 0 || id > ID_MAX))
		field_invalid_int(errs, p, id, "must be between 0 and 2147483647, inclusive");
}

static void check_seccomp(errs_t errs, path_t p, const CoreV1__SeccompProfile *s)
{
	path_t profile = FIELD(p, "localhostProfile");

	if (!s)
		return;
	if (!*s->type)
		field_required(errs, FIELD(p, "type"),
		               "type is required when seccompProfile is set");
	else
		check_enum(errs, FIELD(p, "type"), s->type,
		           LIST("Localhost", "RuntimeDefault", "Unconfined"));
	if (strcmp(s->type, "Localhost")) {
		if (s->localhost_profile)
			field_invalid_json(errs, profile, go_json_of(errs, s),
			                   "can only be set when seccomp type is Localhost");
	} else if (!s->localhost_profile) {
		field_required(errs, profile, "must be set when seccomp type is Localhost");
	} else {
		local_path_check(errs, profile, s->localhost_profile);
	}
}

void apparmor_check(errs_t errs, path_t p, const CoreV1__AppArmorProfile *a)
{
	path_t profile = FIELD(p, "localhostProfile");

	if (!a)
		return;
	if (!strcmp(a->type, "Localhost")) {
		const char *text = a->localhost_profile;
		size_t len = text ? strlen(text) : 0;
		if (!len)
			field_required(errs, profile,
			               "must be set when AppArmor type is Localhost");
		else if (strchr(spaces, text[0]) || strchr(spaces, text[len - 1]))
			field_invalid(errs, profile, text, "must not be padded with whitespace");
		if (len > APPARMOR_BYTES_MAX)
			field_too_long(errs, profile, APPARMOR_BYTES_MAX);
	} else if (list_has(LIST("RuntimeDefault", "Unconfined"), a->type)) {
		if (a->localhost_profile)
			field_invalid(errs, profile, a->localhost_profile,
			              "can only be set when AppArmor type is Localhost");
	} else if (!*a->type) {
		field_required(errs, FIELD(p, "type"),
		               "type is required when appArmorProfile is set");
	} else {
		check_enum(errs, FIELD(p, "type"), a->type,
		           LIST("Localhost", "RuntimeDefault", "Unconfined"));
	}
}

static bool adds_sys_admin(const CoreV1__SecurityContext *sc)
{
	const CoreV1__Capabilities *c = sc->capabilities;

	return c && strings_have(c->add, c->n_add, "CAP_SYS_ADMIN");
}

void container_security_check(struct pod_scope *s, path_t p, const CoreV1__SecurityContext *sc)
{
	errs_t errs = s->errs;
	const struct strategy_options *o = s->ctx->options;

	if (!sc)
		return;
	if (sc->privileged && o && !o->allow_privileged)
		field_forbidden(errs, FIELD(p, "privileged"), "disallowed by cluster policy");
	check_id(errs, FIELD(p, "runAsUser"), sc->has_run_as_user, sc->run_as_user);
	check_id(errs, FIELD(p, "runAsGroup"), sc->has_run_as_group, sc->run_as_group);
	if (sc->proc_mount) {
		check_enum(errs, FIELD(p, "procMount"), sc->proc_mount,
		           LIST("Default", "Unmasked"));
		if (!strcmp(sc->proc_mount, "Unmasked") &&
		    (!s->spec->has_host_users || s->spec->host_users))
			field_invalid(errs, FIELD(p, "procMount"), sc->proc_mount,
			              "`hostUsers` must be false to use `Unmasked`");
	}
	check_seccomp(errs, FIELD(p, "seccompProfile"), sc->seccomp_profile);
	apparmor_check(errs, FIELD(p, "appArmorProfile"), sc->app_armor_profile);
	if (sc->has_allow_privilege_escalation && !sc->allow_privilege_escalation) {
		if (sc->privileged)
			field_invalid_json(errs, p, go_json_of(errs, sc),
			                   "cannot set `allowPrivilegeEscalation` to false and "
			                   "`privileged` to true");
		if (adds_sys_admin(sc))
			field_invalid_json(errs, p, go_json_of(errs, sc),
			                   "cannot set `allowPrivilegeEscalation` to false and "
			                   "`capabilities.Add` CAP_SYS_ADMIN");
	}
	windows_options_check(errs, FIELD(p, "windowsOptions"), sc->windows_options);
}

/* Segments of lower-case letters, digits, "-" and "_", joined by "." or "/". */
static bool is_sysctl_name(const char *s)
{
	size_t len = strlen(s);
	bool edge = true; /* a segment must not start or end with - or _ */

	if (!len || len > SYSCTL_NAME_MAX)
		return false;
	for (; *s; s++) {
		bool letter = (*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9');
		bool inner = *s == '-' || *s == '_';
		bool separator = *s == '.' || *s == '/';
		if (!letter && !inner && !separator)
			return false;
		if (edge && !letter)
			return false;
		if (separator && (s[-1] == '-' || s[-1] == '_'))
			return false;
		edge = separator;
	}
	return !edge && s[-1] != '-' && s[-1] != '_';
}

/* The namespace that a setting belongs to; its parts stand apart by "." or "/". */
static bool is_net(const char *name)
{
	return has_prefix(name, "net.") || has_prefix(name, "net/");
}

static bool is_ipc(struct arena *a, const char *name)
{
	char *dotted = arena_strdup(a, name);

	for (char *c = dotted; *c; c++)
		*c = (char)(*c == '/' ? '.' : *c);
	return !strcmp(dotted, "kernel.sem") || has_prefix(dotted, "kernel.shm") ||
	       has_prefix(dotted, "kernel.msg") || has_prefix(dotted, "fs.mqueue.");
}

static void check_sysctls(struct pod_scope *s, path_t p, const CoreV1__PodSecurityContext *sc)
{
	struct index seen = INDEX_IN(s->errs->arena);
	for (size_t i = 0; i < sc->n_sysctls; i++) {
		const char *name = sc->sysctls[i]->name;
		path_t at = FIELD(FIELD_INDEX(p, i), "name");
		if (!*name)
			field_required(s->errs, at, "");
		else if (!is_sysctl_name(name))
			field_invalid(s->errs, at, name,
			              "must have at most 253 characters and match regex "
			              "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./"
			              "])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
		else if (index_has(&seen, name))
			field_duplicate(s->errs, at, name);
		index_add(&seen, name, 0);
		if (s->spec->host_network && is_net(name))
			field_invalid(s->errs, at, name,
			              "may not be specified when 'hostNetwork' is true");
		if (s->spec->host_ipc && is_ipc(s->errs->arena, name))
			field_invalid(s->errs, at, name,
			              "may not be specified when 'hostIPC' is true");
	}
}

static void check_pod_context(struct pod_scope *s, path_t p, const CoreV1__PodSecurityContext *sc)
{
	errs_t errs = s->errs;

	check_id(errs, FIELD(p, "fsGroup"), sc->has_fs_group, sc->fs_group);
	check_id(errs, FIELD(p, "runAsUser"), sc->has_run_as_user, sc->run_as_user);
	check_id(errs, FIELD(p, "runAsGroup"), sc->has_run_as_group, sc->run_as_group);
	for (size_t i = 0; i < sc->n_supplemental_groups; i++)
		check_id(errs, FIELD_INDEX(FIELD(p, "supplementalGroups"), i), true,
		         sc->supplemental_groups[i]);
	check_sysctls(s, FIELD(p, "sysctls"), sc);
	if (sc->fs_group_change_policy)
		check_enum(errs, FIELD(p, "fsGroupChangePolicy"), sc->fs_group_change_policy,
		           LIST("Always", "OnRootMismatch"));
	if (sc->supplemental_groups_policy)
		check_enum(errs, FIELD(p, "supplementalGroupsPolicy"),
		           sc->supplemental_groups_policy, LIST("Merge", "Strict"));
	if (sc->se_linux_change_policy)
		check_enum(errs, FIELD(p, "seLinuxChangePolicy"), sc->se_linux_change_policy,
		           LIST("MountOption", "Recursive"));
	check_seccomp(errs, FIELD(p, "seccompProfile"), sc->seccomp_profile);
	apparmor_check(errs, FIELD(p, "appArmorProfile"), sc->app_armor_profile);
	windows_options_check(errs, FIELD(p, "windowsOptions"), sc->windows_options);
}

static void forbid(struct pod_scope *s, path_t p, const char *field, bool set, const char *text)
{
	if (set)
		field_forbidden(s->errs, FIELD(p, field), text);
}

void security_contexts_check(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;
	path_t p = s->spec_path;

	if (spec->security_context)
		check_pod_context(s, FIELD(p, "securityContext"), spec->security_context);
	if (spec->share_process_namespace && spec->host_pid)
		field_add(s->errs, FIELD_INVALID, FIELD(p, "securityContext.shareProcessNamespace"),
		          "true", "ShareProcessNamespace and HostPID cannot both be enabled");
	if (spec->has_host_users && !spec->host_users) {
		static const char text[] = "when `hostUsers` is false";
		forbid(s, p, "hostNetwork", spec->host_network, text);
		forbid(s, p, "hostPID", spec->host_pid, text);
		forbid(s, p, "hostIPC", spec->host_ipc, text);
	}
	host_process_check(s);
	if (!spec->os)
		return;
	if (!*spec->os->name)
		field_required(s->errs, FIELD(p, "os.name"), "cannot be empty");
	else if (!check_enum(s->errs, FIELD(p, "os"), spec->os->name, LIST("linux", "windows")))
		return;
	else if (!strcmp(spec->os->name, "linux"))
		linux_pod_check(s);
	else
		windows_pod_check(s);
}
