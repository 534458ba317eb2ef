/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/registry/core/pod_spec.h"

enum { ID_MAX = INT32_MAX, SYSCTL_NAME_MAX = 253 };

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
	if (!check_required_enum(errs, FIELD(p, "type"), s->type,
	                         LIST("Localhost", "RuntimeDefault", "Unconfined")))
		return;
	if (strcmp(s->type, "Localhost")) {
		if (s->localhost_profile)
			field_invalid(errs, profile, s->localhost_profile,
			              "can only be set when seccomp type is Localhost");
	} else if (!s->localhost_profile) {
		field_required(errs, profile, "must be set when seccomp type is Localhost");
	} else {
		local_path_check(errs, profile, s->localhost_profile);
	}
}

static void check_apparmor(errs_t errs, path_t p, const CoreV1__AppArmorProfile *a)
{
	path_t profile = FIELD(p, "localhostProfile");

	if (!a)
		return;
	if (!strcmp(a->type, "Localhost")) {
		if (!a->localhost_profile)
			field_required(errs, profile,
			               "must be set when AppArmor type is Localhost");
		else if (!*a->localhost_profile || strlen(a->localhost_profile) > 4095)
			field_too_long(errs, profile, 4095);
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

static void check_windows_options(errs_t errs, path_t p,
                                  const CoreV1__WindowsSecurityContextOptions *w)
{
	if (!w)
		return;
	if (w->gmsa_credential_spec_name)
		check_name(errs, FIELD(p, "gmsaCredentialSpecName"), w->gmsa_credential_spec_name,
		           names_dns1123_subdomain);
	if (w->gmsa_credential_spec && !*w->gmsa_credential_spec)
		field_invalid(errs, FIELD(p, "gmsaCredentialSpec"), "",
		              "gmsaCredentialSpec cannot be an empty string");
	if (w->run_as_user_name && !*w->run_as_user_name)
		field_invalid(errs, FIELD(p, "runAsUserName"), "",
		              "runAsUserName cannot be an empty string");
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
	check_apparmor(errs, FIELD(p, "appArmorProfile"), sc->app_armor_profile);
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
	check_windows_options(errs, FIELD(p, "windowsOptions"), sc->windows_options);
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

static void check_sysctls(struct pod_scope *s, path_t p, const CoreV1__PodSecurityContext *sc)
{
	struct index seen = INDEX_IN(s->errs->arena);
	for (size_t i = 0; i < sc->n_sysctls; i++) {
		const char *name = sc->sysctls[i]->name;
		path_t at = FIELD(FIELD_INDEX(p, i), "name");
		if (!*name) {
			field_required(s->errs, at, "");
			continue;
		}
		if (!is_sysctl_name(name))
			field_invalid(s->errs, at, name,
			              "must have at most 253 characters and match regex "
			              "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./"
			              "])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
		if (!index_add(&seen, name, 0)) {
			field_duplicate(s->errs, at, name);
		}
		if (s->spec->host_network && has_prefix(name, "net."))
			field_invalid(s->errs, at, name,
			              "may not be specified when 'hostNetwork' is true");
		if (s->spec->host_ipc && has_prefix(name, "kernel.shm"))
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
	check_apparmor(errs, FIELD(p, "appArmorProfile"), sc->app_armor_profile);
	check_windows_options(errs, FIELD(p, "windowsOptions"), sc->windows_options);
}

static void forbid(struct pod_scope *s, path_t p, const char *field, bool set, const char *text)
{
	if (set)
		field_forbidden(s->errs, FIELD(p, field), text);
}

/* What does not exist on Windows. */
static void check_windows(struct pod_scope *s)
{
	static const char text[] = "cannot be set for a windows pod";
	const CoreV1__PodSpec *spec = s->spec;
	const CoreV1__PodSecurityContext *psc = spec->security_context;
	path_t p = s->spec_path, ctx = FIELD(p, "securityContext");

	forbid(s, p, "hostPID", spec->host_pid, text);
	forbid(s, p, "hostIPC", spec->host_ipc, text);
	forbid(s, p, "hostUsers", spec->has_host_users, text);
	forbid(s, p, "shareProcessNamespace", spec->has_share_process_namespace, text);
	if (psc) {
		forbid(s, ctx, "appArmorProfile", psc->app_armor_profile, text);
		forbid(s, ctx, "seLinuxOptions", psc->se_linux_options, text);
		forbid(s, ctx, "seccompProfile", psc->seccomp_profile, text);
		forbid(s, ctx, "fsGroup", psc->has_fs_group, text);
		forbid(s, ctx, "fsGroupChangePolicy", psc->fs_group_change_policy, text);
		forbid(s, ctx, "sysctls", psc->n_sysctls, text);
		forbid(s, ctx, "runAsUser", psc->has_run_as_user, text);
		forbid(s, ctx, "runAsGroup", psc->has_run_as_group, text);
		forbid(s, ctx, "supplementalGroups", psc->n_supplemental_groups, text);
		forbid(s, ctx, "supplementalGroupsPolicy", psc->supplemental_groups_policy, text);
	}
	for (size_t i = 0; i < spec->n_containers; i++) {
		const CoreV1__SecurityContext *sc = spec->containers[i]->security_context;
		path_t c = FIELD(FIELD_INDEX(FIELD(p, "containers"), i), "securityContext");
		if (!sc)
			continue;
		forbid(s, c, "appArmorProfile", sc->app_armor_profile, text);
		forbid(s, c, "seLinuxOptions", sc->se_linux_options, text);
		forbid(s, c, "seccompProfile", sc->seccomp_profile, text);
		forbid(s, c, "capabilities", sc->capabilities, text);
		forbid(s, c, "readOnlyRootFilesystem", sc->has_read_only_root_filesystem, text);
		forbid(s, c, "privileged", sc->has_privileged, text);
		forbid(s, c, "allowPrivilegeEscalation", sc->has_allow_privilege_escalation, text);
		forbid(s, c, "procMount", sc->proc_mount, text);
		forbid(s, c, "runAsUser", sc->has_run_as_user, text);
		forbid(s, c, "runAsGroup", sc->has_run_as_group, text);
	}
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
		forbid(s, p, "hostNetwork", spec->host_network, "when `hostUsers` is false");
		forbid(s, p, "hostPID", spec->host_pid, "when `hostUsers` is false");
		forbid(s, p, "hostIPC", spec->host_ipc, "when `hostUsers` is false");
	}
	if (spec->os) {
		if (check_required_enum(s->errs, FIELD(p, "os.name"), spec->os->name,
		                        LIST("linux", "windows")) &&
		    !strcmp(spec->os->name, "windows"))
			check_windows(s);
		if (!strcmp(spec->os->name, "linux") && spec->security_context &&
		    spec->security_context->windows_options)
			field_forbidden(s->errs, FIELD(p, "securityContext.windowsOptions"),
			                "windows options cannot be set for a linux pod");
	}
}
