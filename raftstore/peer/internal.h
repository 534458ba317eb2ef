/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inside of the transport. A peer is another member; a lane is a stream to it, which carries our
 * messages and questions out and its answers back; an entrance is a stream from it, the other way
 * round. Everything is the loop's. */
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/net/rpc_client.h"
#include "common/net/rpc_server.h"
#include "raftstore/peer/peers.h"
#include "raftstore/peer/traffic.h"
#include "raftstore/peer/wire.h"

enum lane_kind {
	LANE_URGENT, /* votes, heartbeats, results, reads, small questions */
	LANE_BULK,   /* entries, which stay in order, and large questions */
	LANES,
};

enum {
	FRAME_BYTES = 1 << 20, /* a frame is closed when it has as many; one message always fits */
	ASK_SMALL_BYTES = 4 << 10, /* larger questions go with the entries */
	REMOTES_MAX = 16,          /* members that connect and are not known here yet */
	URLS_BYTES_MAX = 4 << 10,
	COMPLAINTS = 64,
};

#define PEER_METHOD_URGENT "/kubec.Peer/Urgent"
#define PEER_METHOD_BULK "/kubec.Peer/Bulk"
#define PEER_METHOD_ASK "/kubec.Peer/Ask"

#define PEER_CLUSTER "x-etcd-cluster-id"
#define PEER_FROM "x-server-from"
#define PEER_TO "x-raft-to"
#define PEER_VERSION "x-server-version"
#define PEER_URLS "x-peerurls"

#define PEER_REMOVED "the member has been permanently removed from the cluster"

/* Frames that wait for their stream. */
struct outbox {
	struct buf frame; /* being filled; empty: none */
	VEC(struct blob *) ready;
	size_t ready_bytes;
};

/* The frame that the next message of about this size goes into. */
struct buf *outbox_frame(struct outbox *o, size_t bytes);
size_t outbox_bytes(const struct outbox *o);
/* The oldest frame, the caller's; NULL: empty. */
struct blob *outbox_take(struct outbox *o);
void outbox_clear(struct outbox *o);
void outbox_deinit(struct outbox *o);

struct lane {
	struct peer *peer;
	enum lane_kind kind;
	struct rpc_channel *channel;
	struct rpc_stream *stream; /* NULL: waits for the timer */
	bool connected;            /* the other side has welcomed us */
	bool blocked;              /* the stream takes no more at present */
	struct outbox out;
	struct list asks;        /* struct ask, whose answer comes on this lane */
	struct loop_timer timer; /* connects; gives up connecting; pings */
	uint64_t connected_ms, began_ms;
	unsigned unanswered; /* pings since something was heard */
	uint32_t pause_ms;
	unsigned turn; /* which URL */
};

struct peer {
	struct peers *peers;
	uint64_t id;
	char *urls; /* comma-separated */
	bool remote;
	bool up;          /* both lanes and both entrances are there */
	unsigned streams; /* of these that are there */
	bool dropped;     /* an append was dropped in this turn */
	struct lane lanes[LANES];
	struct entrance *entrances[LANES];
	struct peer_traffic traffic;
	struct list link; /* of peers->all */
};

struct listener {
	struct peers *peers;
	enum lane_kind kind;
};

struct complaint {
	uint64_t key, at_ms;
};

struct peers {
	struct peers_options o; /* strings owned */
	struct rpc_server *rpc; /* NULL: listens nowhere */
	struct listener listeners[LANES];
	struct list all; /* struct peer */
	struct list dead;
	VEC(uint64_t) removed;
	VEC(struct entrance *) answering; /* have answers that wait for the flush */
	struct map asks;                  /* id -> struct ask */
	struct list ended;                /* struct ask, to be told */
	struct list calls;                /* struct url_ask */
	uint64_t next_ask;
	bool started, stopped, flush_posted, ended_posted, dead_posted;
	struct complaint complaints[COMPLAINTS];
	struct traffic traffic;
};

/* --- peers.c --- */
struct peer *peers_find(const struct peers *p, uint64_t id);
bool peers_is_removed(const struct peers *p, uint64_t id);
/* A member that is not known here and has connected; NULL: too many. */
struct peer *peers_add_remote(struct peers *p, uint64_t id, const char *urls);
/* A lane or an entrance has come or gone. May call the handler. */
void peer_changed(struct peer *peer);
/* Sends at the end of this turn of the loop what waits in lanes and entrances. */
void peers_flush_later(struct peers *p);
/* True once a minute for the same words about the same member. */
bool peers_may_complain(struct peers *p, uint64_t id, const char *text);
uint32_t peers_frame_limit(const struct peers *p);
/* Options of a channel to this URL. */
int peers_channel(struct peers *p, const char *url, struct rpc_channel **ret, struct err *err);

/* --- lane.c --- */
void lane_init(struct lane *l, struct peer *peer, enum lane_kind kind);
void lane_start(struct lane *l);
void lane_close(struct lane *l);
/* False: the queue is full. */
/* The other side is there: the lane does not wait until it would have tried again. */
void lane_hurry(struct lane *l);
bool lane_has_room(const struct lane *l, size_t bytes);
void lane_flush(struct lane *l);

/* --- entrance.c --- */
int entrances_listen(struct peers *p, struct err *err);
/* The stream ends with these words; it has left its peer when this returns. */
void entrance_close(struct entrance *in, int code, const char *text);
/* Sends what waits, and drops the reference of peers->answering. */
void entrance_flush(struct entrance *in);

/* --- ask.c --- */
void asks_init(struct peers *p);
void asks_deinit(struct peers *p);
void asks_answer(struct lane *l, uint64_t id, int32_t result, struct slice body);
/* All questions of this lane; told on the next turn. */
void asks_fail(struct lane *l, int result);
/* All questions, at once. */
void asks_cancel(struct peers *p);
