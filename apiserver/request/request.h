/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One request, whatever front door it came by, and the sink that takes its answer.
 *
 * A front door (http/, grpc/) fills a struct request and calls endpoints_serve(), which drains into
 * the struct response_sink. Both, and all that the request points to, live in the request's arena
 * until the answer was ended: after response_end() (or response_abort()) nobody may touch the
 * request, its arena or the sink any more. Everything happens on the request's loop.
 *
 * Strings are NUL-terminated, live in the arena and are "" (never NULL) when there is nothing,
 * unless their comment says otherwise. */
#include <stdbool.h>
#include <stdint.h>
#include "common/base/arena.h"
#include "common/base/buf.h"

struct loop;
struct resource_info; /* proto/resource_table.h */
struct status;        /* apiserver/request/status.h */

struct user_extra {
	const char *key; /* lower case */
	const char *const *values;
	size_t n_values;
};

/* Who asks. authentication fills it; until then name is "". */
struct user_info {
	const char *name, *uid;
	const char *const *groups;
	size_t n_groups;
	const struct user_extra *extra;
	size_t n_extra;
};

enum request_verb {
	VERB_NONE, /* non-resource requests: the verb is the lower-case HTTP method */
	VERB_GET,
	VERB_LIST,
	VERB_WATCH,
	VERB_CREATE,
	VERB_UPDATE,
	VERB_PATCH,
	VERB_DELETE,
	VERB_DELETECOLLECTION,
	VERB_COUNT,
};
/* "get", "deletecollection"; "" for VERB_NONE. */
const char *request_verb_name(enum request_verb verb);

enum media_type {
	MEDIA_NONE, /* no Content-Type: endpoints take it for JSON */
	MEDIA_JSON,
	MEDIA_YAML,
	MEDIA_PROTOBUF, /* application/vnd.kubernetes.protobuf: with the k8s\0 envelope */
	MEDIA_JSON_PATCH,
	MEDIA_MERGE_PATCH,
	MEDIA_STRATEGIC_PATCH,
	MEDIA_APPLY_YAML, /* application/apply-patch+yaml: server-side apply */
	MEDIA_UNKNOWN,
};
/* "application/json" ...; "" for NONE and UNKNOWN. */
const char *media_type_name(enum media_type t);

enum accept_as {
	AS_OBJECT,
	AS_TABLE,                 /* ;as=Table;v=v1;g=meta.k8s.io */
	AS_PARTIAL_METADATA,      /* ;as=PartialObjectMetadata */
	AS_PARTIAL_METADATA_LIST, /* ;as=PartialObjectMetadataList */
};

/* What the client wants to read, negotiated from Accept. */
struct accept {
	enum media_type format; /* MEDIA_JSON, MEDIA_YAML or MEDIA_PROTOBUF */
	enum accept_as as;
	const char *as_version; /* "v1" or "v1beta1" when `as` is not AS_OBJECT */
	bool stream_watch;      /* ;stream=watch was said */
	bool pretty;            /* ?pretty=1, or a browser or curl that did not say otherwise */
};

enum { TRISTATE_UNSET = -1, TRISTATE_FALSE = 0, TRISTATE_TRUE = 1 };

enum field_validation { FIELD_VALIDATION_WARN, FIELD_VALIDATION_STRICT, FIELD_VALIDATION_IGNORE };

/* The query options of all verbs (meta.k8s.io/v1 ListOptions, GetOptions, CreateOptions,
 * UpdateOptions, PatchOptions, DeleteOptions; core/v1 PodLogOptions and the like stay in `query`).
 * Of a delete, options in the body replace those of the query: endpoints do that. */
struct request_options {
	const char *label_selector, *field_selector;
	const char *resource_version;
	const char *resource_version_match; /* "", "Exact" or "NotOlderThan" */
	const char *continue_token;
	int64_t limit;           /* 0: none */
	int64_t timeout_seconds; /* -1: not said */
	bool watch;
	bool allow_watch_bookmarks;
	int8_t send_initial_events; /* TRISTATE_ */
	const char *field_manager;
	bool dry_run; /* dryRun=All */
	enum field_validation field_validation;
	int8_t force;                   /* TRISTATE_ */
	int64_t grace_period_seconds;   /* -1: not said */
	const char *propagation_policy; /* "", "Orphan", "Background", "Foreground" */
	int8_t orphan_dependents;       /* TRISTATE_ */
	bool ignore_store_read_error;   /* ignoreStoreReadErrorWithClusterBreakingPotential */
	const char *include_object;     /* Table: "" (Metadata), "None", "Metadata", "Object" */
	bool no_headers;                /* Table: noHeaders */
};

/* One header or query parameter, in the order in which it came. */
struct request_pair {
	const char *name; /* headers: lower case; parameters: as written */
	const char *value;
};

/* What is known of the connection; shared by its requests, lives as long as any of them. Its
 * requests all come on one loop, so `auth` needs no lock. */
struct request_peer {
	/* The certificates that the client showed and proved to own, leaf first, DER, NOT verified
	 * against any CA: that is authentication's. */
	const struct slice *certs;
	size_t n_certs;
	const char *address; /* "10.0.0.1:4711", "[::1]:4711" */
	/* For authentication to keep what it made of the certificates: freed with the connection.
	 */
	void *auth;
	void (*auth_free)(void *auth);
};

struct request {
	struct arena *arena;
	struct loop *loop;
	struct request_peer *peer; /* never NULL */

	struct user_info user;
	struct user_info
	    impersonator; /* the real user, when `user` is impersonated; else name "" */

	const char *method; /* "GET" */
	const char *path;   /* decoded, without the query */
	const char *uri;    /* as it came: path and query */
	const struct request_pair *headers;
	size_t n_headers;
	const struct request_pair *query; /* decoded */
	size_t n_query;
	struct slice body;
	enum media_type body_type;

	/* From the path (apiserver/request/request_info.h). */
	bool is_resource;
	enum request_verb verb;
	const char *verb_name; /* what authorization asks for: "get", "watch", "proxy", or "head" */
	const char *prefix;    /* "api", "apis", "" */
	const char *group, *version, *ns, *resource, *subresource, *name;
	const char *const *parts; /* path segments from the resource on */
	size_t n_parts;
	const struct resource_info
	    *info; /* of the table; NULL: none such (custom resource or 404) */

	struct accept accept;
	struct request_options options;
	/* The first fault that the front door found in negotiation (406, 415), the body (413) or
	 * the options (400, 422); the pipeline answers with it once the request is authorized.
	 * NULL: none. */
	const struct status *fault;

	const char *user_agent;
	const char *audit_id; /* UUID */
	void *front; /* the front door's own */
	uint64_t received_mono_ns;
	int64_t received_real_ns;
};

/* Value of the first header called `name` (lower case), or NULL. */
const char *request_header(const struct request *r, const char *name);
/* Value of the first query parameter, or NULL. */
const char *request_query(const struct request *r, const char *name);
/* "configmaps" or "deployments.apps": the resource with its group, as messages spell it. */
const char *request_group_resource(const struct request *r);

/* --- the answer ------------------------------------------------------------------------------ */

struct response_sink;

/* What a front door implements; call it through the functions below. */
struct response_sink_ops {
	void (*header)(struct response_sink *s, const char *name, const char *value);
	void (*status)(struct response_sink *s, int http_status, const char *content_type,
	               int64_t content_length);
	int (*chunk)(struct response_sink *s, struct slice data);
	int (*chunk_blob)(struct response_sink *s, struct blob *data);
	void (*end)(struct response_sink *s);
	void (*abort)(struct response_sink *s);
	size_t (*queued_bytes)(const struct response_sink *s);
};

/* Takes: any headers and warnings, one status, any chunks, then exactly one end or abort. */
struct response_sink {
	const struct response_sink_ops *ops;
	/* The client has gone away. Called at most once, never from within a response_ function;
	 * what is written afterwards is dropped, and response_end() is still due. */
	void (*on_closed)(void *arg);
	/* The queue has drained after a chunk had returned 1. Never from within a response_
	 * function. */
	void (*on_writable)(void *arg);
	void *arg;           /* of both; all three are set by the one who answers */
	bool closed;         /* the client has gone away */
	int http_status;     /* what was sent; 0 before */
	uint64_t sent_bytes; /* of the body */
};

static inline void response_header(struct response_sink *s, const char *name, const char *value)
{
	s->ops->header(s, name, value);
}
/* content_length < 0: not known, the body is streamed. content_type NULL: none. The front door adds
 * Audit-Id, Cache-Control and Date. */
static inline void response_status(struct response_sink *s, int http_status,
                                   const char *content_type, int64_t content_length)
{
	s->http_status = http_status;
	s->ops->status(s, http_status, content_type, content_length);
}
/* Queues bytes (copied). 0, or 1 when the queue is above its mark: the bytes are queued all the
 * same, but the sender should wait for on_writable. What is queued goes out at the end of the turn.
 */
static inline int response_chunk(struct response_sink *s, struct slice data)
{
	s->sent_bytes += data.len;
	return s->ops->chunk(s, data);
}
/* The same without a copy: takes a reference of its own. */
static inline int response_chunk_blob(struct response_sink *s, struct blob *data)
{
	s->sent_bytes += data->len;
	return s->ops->chunk_blob(s, data);
}
static inline void response_end(struct response_sink *s)
{
	s->ops->end(s);
}
/* Ends an answer that cannot be finished: the connection (or stream) is cut, so that the client
 * sees that the body is not whole. */
static inline void response_abort(struct response_sink *s)
{
	s->ops->abort(s);
}
static inline size_t response_queued_bytes(const struct response_sink *s)
{
	return s->ops->queued_bytes(s);
}
/* Warning: 299 - "text" (RFC 7234 quoting); before the status. */
void response_warning(struct response_sink *s, const char *text);
/* A whole answer: status, body, end. */
void response_reply(struct response_sink *s, int http_status, const char *content_type,
                    struct slice body);
