/* SPDX-License-Identifier: Apache-2.0 */
/* What pods of Windows may say and what only they may say. */
#include "apiserver/registry/core/pod_spec.h"

enum { GMSA_BYTES_MAX = 64 << 10, DOMAIN_BYTES_MAX = 256, USER_BYTES_MAX = 104 };

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((uint8_t)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

static bool has_any(const char *s, const char *chars)
{
	return s[strcspn(s, chars)] != '\0';
}

/* At most 15 characters, none of them special, no dot in front. */
static bool is_netbios(const char *s)
{
	return *s && *s != '.' && strlen(s) <= 15 && !has_any(s, "\\/:*?\"<>|");
}

static bool is_dns(const char *s)
{
	size_t label = 0;
	char last = '.';

	for (; *s; last = *s++) {
		bool alnum = (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
		             (*s >= 'A' && *s <= 'Z');
		if (*s == '.' ? last == '.' || last == '-' : !alnum && (*s != '-' || last == '.'))
			return false;
		label = *s == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
	}
	return last != '.' && last != '-';
}

/* USER or DOMAIN\USER. */
static void check_user(errs_t errs, path_t p, const char *text)
{
	const char *slash = strchr(text, '\\'), *user = slash ? slash + 1 : text;
	const char *domain =
	    slash ? arena_strndup(errs->arena, text, (size_t)(slash - text)) : NULL;

	if (!*text) {
		field_invalid(errs, p, text, "runAsUserName cannot be an empty string");
		return;
	}
	if (has_control(text)) {
		field_invalid(errs, p, text, "runAsUserName cannot contain control characters");
		return;
	}
	if (strchr(user, '\\')) {
		field_invalid(errs, p, text,
		              "runAsUserName cannot contain more than one backslash");
		return;
	}
	if (domain && strlen(domain) >= DOMAIN_BYTES_MAX)
		field_invalid(errs, p, text,
		              "runAsUserName's Domain length must be under 256 characters");
	if (domain && !is_netbios(domain) && !is_dns(domain))
		field_invalid(
		    errs, p, text,
		    "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
	if (!*user)
		field_invalid(errs, p, text, "runAsUserName's User cannot be empty");
	else if (strlen(user) > USER_BYTES_MAX)
		field_invalid(errs, p, text,
		              "runAsUserName's User length must not be longer than 104 characters");
	if (*user && !user[strspn(user, ". ")])
		field_invalid(errs, p, text,
		              "runAsUserName's User cannot contain only periods or spaces");
	if (has_any(user, "\"/\\:;|=,+*?<>@[]"))
		field_invalid(errs, p, text,
		              "runAsUserName's User cannot contain the following characters: "
		              "\"/\\:;|=,+*?<>@[]");
}

void windows_options_check(errs_t errs, path_t p, const CoreV1__WindowsSecurityContextOptions *w)
{
	path_t spec = FIELD(p, "gmsaCredentialSpec");

	if (!w)
		return;
	if (w->gmsa_credential_spec_name)
		check_name(errs, FIELD(p, "gmsaCredentialSpecName"), w->gmsa_credential_spec_name,
		           names_dns1123_subdomain);
	if (w->gmsa_credential_spec && !*w->gmsa_credential_spec)
		field_invalid(errs, spec, "", "gmsaCredentialSpec cannot be an empty string");
	else if (w->gmsa_credential_spec && strlen(w->gmsa_credential_spec) > GMSA_BYTES_MAX)
		field_invalid(errs, spec, w->gmsa_credential_spec,
		              "gmsaCredentialSpec size must be under 64 KiB");
	if (w->run_as_user_name)
		check_user(errs, FIELD(p, "runAsUserName"), w->run_as_user_name);
}

static void forbid(struct pod_scope *s, path_t p, const char *field, bool set)
{
	if (set)
		field_forbidden(s->errs, FIELD(p, field), "cannot be set for a windows pod");
}

static void check_container(void *arg, path_t p, const CoreV1__Container *c)
{
	struct pod_scope *s = arg;
	const CoreV1__SecurityContext *sc = c->security_context;
	path_t at = FIELD(p, "securityContext");

	if (!sc)
		return;
	forbid(s, at, "appArmorProfile", sc->app_armor_profile);
	forbid(s, at, "seLinuxOptions", sc->se_linux_options);
	forbid(s, at, "seccompProfile", sc->seccomp_profile);
	forbid(s, at, "capabilities", sc->capabilities);
	forbid(s, at, "readOnlyRootFilesystem", sc->has_read_only_root_filesystem);
	forbid(s, at, "privileged", sc->has_privileged);
	forbid(s, at, "allowPrivilegeEscalation", sc->has_allow_privilege_escalation);
	forbid(s, at, "procMount", sc->proc_mount);
	forbid(s, at, "runAsUser", sc->has_run_as_user);
	forbid(s, at, "runAsGroup", sc->has_run_as_group);
}

void windows_pod_check(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;
	const CoreV1__PodSecurityContext *sc = spec->security_context;
	path_t p = s->spec_path, at = FIELD(p, "securityContext");

	forbid(s, p, "hostPID", spec->host_pid);
	forbid(s, p, "hostIPC", spec->host_ipc);
	forbid(s, p, "hostUsers", spec->has_host_users);
	forbid(s, p, "shareProcessNamespace", spec->has_share_process_namespace);
	if (sc) {
		forbid(s, at, "appArmorProfile", sc->app_armor_profile);
		forbid(s, at, "seLinuxOptions", sc->se_linux_options);
		forbid(s, at, "seccompProfile", sc->seccomp_profile);
		forbid(s, at, "fsGroup", sc->has_fs_group);
		forbid(s, at, "fsGroupChangePolicy", sc->fs_group_change_policy);
		forbid(s, at, "sysctls", sc->n_sysctls);
		forbid(s, at, "runAsUser", sc->has_run_as_user);
		forbid(s, at, "runAsGroup", sc->has_run_as_group);
		forbid(s, at, "supplementalGroups", sc->n_supplemental_groups);
		forbid(s, at, "supplementalGroupsPolicy", sc->supplemental_groups_policy);
		forbid(s, at, "seLinuxChangePolicy", sc->se_linux_change_policy);
	}
	pod_each_container(spec, p, check_container, s);
}

static void forbid_options(void *arg, path_t p, const CoreV1__Container *c)
{
	struct pod_scope *s = arg;

	if (c->security_context && c->security_context->windows_options)
		field_forbidden(s->errs, FIELD(p, "securityContext.windowsOptions"),
		                "windows options cannot be set for a linux pod");
}

void linux_pod_check(struct pod_scope *s)
{
	if (s->spec->security_context && s->spec->security_context->windows_options)
		field_forbidden(s->errs, FIELD(s->spec_path, "securityContext.windowsOptions"),
		                "windows options cannot be set for a linux pod");
	pod_each_container(s->spec, s->spec_path, forbid_options, s);
}

/* Containers that run in the host's namespaces. */
struct host_process {
	struct pod_scope *s;
	const CoreV1__WindowsSecurityContextOptions *pod;
	size_t containers, hosted;
};

static void count_host_process(void *arg, path_t p, const CoreV1__Container *c)
{
	struct host_process *h = arg;
	const CoreV1__WindowsSecurityContextOptions *w =
	    c->security_context ? c->security_context->windows_options : NULL;
	bool pod_says = h->pod && h->pod->has_host_process, says = w && w->has_host_process;

	h->containers++;
	if (pod_says && says && h->pod->host_process != w->host_process)
		field_add(h->s->errs, FIELD_INVALID,
		          FIELD(p, "securityContext.windowsOptions.hostProcess"),
		          w->host_process ? "true" : "false",
		          "pod hostProcess value must be identical if both are specified, was %s",
		          h->pod->host_process ? "true" : "false");
	h->hosted += says ? w->host_process : pod_says && h->pod->host_process;
}

void host_process_check(struct pod_scope *s)
{
	const CoreV1__PodSpec *spec = s->spec;
	struct host_process h = {
	    .s = s, .pod = spec->security_context ? spec->security_context->windows_options : NULL};

	pod_each_container(spec, s->spec_path, count_host_process, &h);
	if (!h.hosted)
		return;
	if (h.hosted != h.containers)
		field_invalid(
		    s->errs, s->spec_path, "",
		    "If pod contains any hostProcess containers then all containers must be "
		    "HostProcess containers");
	if (!spec->host_network)
		field_invalid_json(s->errs, FIELD(s->spec_path, "hostNetwork"), "false",
		                   "hostNetwork must be true if pod contains any hostProcess "
		                   "containers");
	if (s->ctx->options && !s->ctx->options->allow_privileged)
		field_forbidden(s->errs, s->spec_path,
		                "hostProcess containers are disallowed by cluster policy");
}
