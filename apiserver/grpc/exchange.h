/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* One call of the service: request, sink and the way the answer takes. */
#include "apiserver/grpc/grpc_front.h"
#include "common/base/vec.h"
#include "proto/resources.pb-c.h"

/* How the answer of the pipeline becomes messages. */
enum exchange_mode {
	EXCHANGE_OBJECT,     /* one ObjectResponse */
	EXCHANGE_COLLECTION, /* one DeleteCollectionResponse */
	EXCHANGE_LIST,       /* ListBatches */
	EXCHANGE_WATCH,      /* WatchBatches */
};

/* A connection's peer, shared by its requests on one loop. */
struct grpc_peer {
	struct request_peer pub;
	struct slice der;
	const char *pem;
	size_t requests; /* that are open */
	bool orphan;     /* the address belongs to another peer by now */
	struct arena arena;
};

/* Where a list stands in its bytes. */
enum list_phase { LIST_MAGIC, LIST_ENVELOPE, LIST_FIELDS, LIST_DONE };

struct exchange {
	struct request req;
	struct response_sink sink;
	struct arena arena;
	struct grpc_front *front;
	struct rpc_call *call;
	struct grpc_peer *peer;
	enum exchange_mode mode;
	Resources__ContentType accept;
	bool omit_managed_fields;
	bool ended;     /* by the pipeline */
	bool closed;    /* on the wire */
	struct buf in;  /* of the answer, not yet understood */
	struct buf out; /* the message that is being made */
	VEC(const char *) warnings;
	/* EXCHANGE_LIST */
	enum list_phase phase;
	uint64_t left; /* bytes of the list message that are still to come */
	struct slice list_version, list_continue; /* in the arena */
	uint64_t list_remaining;
	bool broken; /* the answer was not what it should be */
	int high;    /* what the last send said */
};

/* Fills the request from the message of a call. -ERR_BAD_REQUEST with its cause. */
int exchange_decode(struct exchange *x, const char *method, struct slice message, struct err *err);
/* The sink's functions. */
extern const struct response_sink_ops exchange_sink_ops;
/* Both the pipeline and the wire are through: frees everything. */
void exchange_free(struct exchange *x);
