/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* metav1.Status: how every refusal and some successes are told (apimachinery pkg/api/errors).
 *
 * The functions build a Status in an arena; status_encode writes it in a negotiated format and
 * status_send answers with it. Texts are upstream's. `resource` is the plural ("pods"), `group` ""
 * for core. */
#include "apiserver/request/request.h"
#include "common/base/err.h"

struct status_cause {
	const char *reason, *message, *field; /* "" when there is none */
};

struct status {
	int code; /* HTTP */
	const char *reason, *message;
	bool success; /* "status": "Success" */
	bool has_details;
	const char *continue_token; /* where a refused list may go on; NULL: nowhere */
	struct {
		const char *name, *group, *kind, *uid;
		const struct status_cause *causes;
		size_t n_causes;
		int32_t retry_after_seconds;
	} details;
};

/* Any code and text; no details. reason NULL: that of the code. */
struct status *status_new(struct arena *a, int http_code, const char *reason, const char *fmt, ...)
    _printf_(4, 5);
/* From an error of the project: code, reason and text. */
struct status *status_of_err(struct arena *a, int code, const struct err *err);
/* Adds details to any status. NULL means "". */
void status_details(struct status *s, const char *group, const char *kind, const char *name);

/* `pods "x" not found`, `deployments.apps "x" not found` */
struct status *status_not_found(struct arena *a, const char *group, const char *resource,
                                const char *name);
/* `pods "x" already exists` */
struct status *status_already_exists(struct arena *a, const char *group, const char *resource,
                                     const char *name);
/* `object is being deleted: pods "x" already exists` and the like: AlreadyExists with another text.
 */
struct status *status_conflict(struct arena *a, const char *group, const char *resource,
                               const char *name, const char *why);
/* The usual `why` of a conflict. */
#define STATUS_MODIFIED                                                                          \
	"the object has been modified; please apply your changes to the latest version and try " \
	"again"
/* `pods "x" is forbidden: why` */
struct status *status_forbidden(struct arena *a, const char *group, const char *resource,
                                const char *name, const char *why);
struct status *status_unauthorized(struct arena *a); /* "Unauthorized" */
struct status *status_bad_request(struct arena *a, const char *fmt, ...) _printf_(2, 3);
struct status *status_internal(struct arena *a,
                               const char *why); /* "Internal error occurred: why" */
/* Invalid (422): `message` is the whole message, e.g. from field_errors_message(). */
struct status *status_invalid(struct arena *a, const char *group, const char *kind,
                              const char *name, const char *message,
                              const struct status_cause *causes, size_t n_causes);
/* `delete is not supported on resources of kind "pods"` */
struct status *status_method_not_supported(struct arena *a, const char *group, const char *resource,
                                           const char *verb);
/* "the server does not allow this method on the requested resource" */
struct status *status_method_not_allowed(struct arena *a);
/* "the server could not find the requested resource" */
struct status *status_no_resource(struct arena *a);
struct status *status_not_acceptable(struct arena *a, const char *accepted);
/* A Table was asked for of a resource that has none. */
struct status *status_no_table(struct arena *a);
struct status *status_unsupported_media(struct arena *a, const char *accepted);
struct status *status_patch_media(struct arena *a, const char *accepted); /* 415 of PATCH */
struct status *status_too_many_requests(struct arena *a, const char *message, int retry_after_s);
struct status *status_too_large(struct arena *a, const char *message);
struct status *status_expired(struct arena *a, const char *message); /* 410 Expired */
struct status *status_timeout(struct arena *a, const char *message, int retry_after_s); /* 504 */
/* `The list operation against pods could not be completed at this time, please try again.` (500) */
struct status *status_server_timeout(struct arena *a, const char *group, const char *resource,
                                     const char *operation, int retry_after_s);
struct status *status_unavailable(struct arena *a, const char *message);
/* The Success of a delete that left nothing behind: 200 with details. */
struct status *status_deleted(struct arena *a, const char *group, const char *resource,
                              const char *name, const char *uid);

/* The Status as MEDIA_JSON, MEDIA_YAML or MEDIA_PROTOBUF (with envelope). */
void status_encode(const struct status *s, enum media_type format, bool pretty, struct buf *out);
/* Answers with it, in the format that the request negotiated; ends the answer. */
void status_send(const struct status *s, const struct request *req, struct response_sink *sink);
