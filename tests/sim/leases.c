/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/leases.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/sim/clients.h"
#include "tests/sim/edges.h"

enum {
	HOLDERS_MAX = 3,
	DRIFT_PERCENT = 5, /* more than any clock is wrong */
};

enum phase { GRANT, ATTACH, HOLD, LET_GO };

struct holder {
	unsigned at;
	struct member *member;
	struct rpc_call *call, *stream;
	uint64_t tries;
	enum phase phase;
	int64_t id, ttl_s;
	char key[48];
	bool attached; /* the key was there */
	bool revoking; /* this holder wants it to end */
	bool gone;
	uint64_t gone_us;
	uint64_t asked_us;    /* the grant, or the renewal that waits for an answer */
	uint64_t promised_us; /* until then it must live, by a perfect clock */
	uint64_t renewed_us;  /* when the last answer came */
	unsigned renewals_left;
	bool waiting; /* for an answer to a renewal */
};

static struct holder holders[HOLDERS_MAX];
static unsigned n_holders;
static int64_t next_id;
static bool finishing;

void leases_reset(void)
{
	memset(holders, 0, sizeof(holders));
	n_holders = 0;
	next_id = 1000;
	finishing = false;
}

static void go_on(void *arg);

static void later(struct holder *h, uint64_t us)
{
	h->tries++;
	sim_after(us, go_on, h);
}

static void promise(struct holder *h, int64_t ttl_s)
{
	uint64_t us = (uint64_t)ttl_s * 1000000;
	h->promised_us = MAX(h->promised_us, h->asked_us + us - us * DRIFT_PERCENT / 100);
	h->renewed_us = sim.now_us;
	sim_say("lease %" PRId64 " of %" PRId64 " s is promised by member %u until %.3f s", h->id,
	        ttl_s, h->member->at, (double)h->promised_us / 1e6);
}

void leases_change(const struct change *c)
{
	if (!c->deleted)
		return;
	for (unsigned i = 0; i < n_holders; i++) {
		struct holder *h = &holders[i];
		if (!slice_eq(c->key, slice_str(h->key)))
			continue;
		SIM_CHECK(h->revoking || c->at_us >= h->promised_us,
		          "lease %" PRId64 " ends at %.3f s, it was promised until %.3f s", h->id,
		          (double)c->at_us / 1e6, (double)h->promised_us / 1e6);
		h->gone = true;
		h->gone_us = c->at_us;
		sim.stats.expired += !h->revoking;
	}
}

/* --- answers --- */

static void on_granted(void *arg, int code, const char *text, bool sent, struct slice answer)
{
	struct holder *h = arg;
	h->call = NULL;
	Etcdserverpb__LeaseGrantResponse *r =
	    code ? NULL : etcdserverpb__lease_grant_response__unpack(NULL, answer.len, answer.data);
	if (!r) {
		h->member = clients_pick();
		later(h, sim_below(500000));
		return;
	}
	sim.stats.leases++;
	h->ttl_s = r->ttl;
	promise(h, r->ttl);
	h->phase = ATTACH;
	etcdserverpb__lease_grant_response__free_unpacked(r, NULL);
	later(h, 1000);
}

static void on_attached(void *arg, int code, const char *text, bool sent, struct slice answer)
{
	struct holder *h = arg;
	h->call = NULL;
	if (code) {
		SIM_CHECK(!strstr(text, "lease not found") || h->gone ||
		              sim.now_us >= h->promised_us,
		          "lease %" PRId64 " is not found, it was promised until %.3f s", h->id,
		          (double)h->promised_us / 1e6);
		h->phase = LET_GO;
	} else {
		h->attached = true;
		h->phase = HOLD;
		h->renewals_left = finishing ? 0 : (unsigned)sim_below(12);
	}
	later(h, sim_chance(300) ? 1000 : sim_below(200000));
}

static void on_renewal(struct holder *h, const Etcdserverpb__LeaseKeepAliveResponse *r)
{
	h->waiting = false;
	if (r->ttl > 0) {
		sim.stats.renewals++;
		promise(h, r->ttl);
		SIM_CHECK(!h->gone || h->revoking || h->promised_us <= h->gone_us,
		          "lease %" PRId64 " is renewed until %.3f s, but ended at %.3f s", h->id,
		          (double)h->promised_us / 1e6, (double)h->gone_us / 1e6);
		return;
	}
	SIM_CHECK(h->gone || h->revoking || sim.now_us >= h->promised_us,
	          "lease %" PRId64 " is told to be gone at %.3f s, it was promised until %.3f s",
	          h->id, (double)sim.now_us / 1e6, (double)h->promised_us / 1e6);
	h->renewals_left = 0;
}

static void on_renewed(void *arg, struct slice message)
{
	struct holder *h = arg;
	Etcdserverpb__LeaseKeepAliveResponse *r =
	    etcdserverpb__lease_keep_alive_response__unpack(NULL, message.len, message.data);
	/* An answer may be to a question about the lease before. */
	if (r && h->waiting && r->id == h->id)
		on_renewal(h, r);
	etcdserverpb__lease_keep_alive_response__free_unpacked(r, NULL);
}

static void on_stream_end(void *arg, int code, const char *text, bool sent, struct slice answer)
{
	struct holder *h = arg;
	sim_say("holder %u: %s", h->at, text);
	h->stream = NULL;
	h->waiting = false;
	h->member = clients_pick();
}

/* --- questions --- */

static void give_up(struct holder *h)
{
	if (h->call)
		client_cancel(h->call);
	h->call = NULL;
}

static void grant(struct holder *h)
{
	Etcdserverpb__LeaseGrantRequest q = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
	struct buf b = BUF_INIT;
	h->id = ++next_id;
	h->gone = h->revoking = h->attached = false;
	h->promised_us = 0;
	h->asked_us = sim.now_us;
	snprintf(h->key, sizeof(h->key), LEASES_PREFIX "%" PRId64, h->id);
	q.id = h->id;
	q.ttl = 2 + (int64_t)sim_below(sim_chance(300) ? 20 : 10);
	struct client_ops ops = {.on_end = on_granted, .arg = h};
	h->call = client_call(h->member, "/etcdserverpb.Lease/LeaseGrant", pack(&b, &q.base), &ops);
	buf_deinit(&b);
}

static void attach(struct holder *h)
{
	Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
	struct buf b = BUF_INIT;
	q.key = pb_bytes(slice_str(h->key));
	q.value = pb_bytes(SLICE_LIT("holder"));
	q.lease = h->id;
	struct client_ops ops = {.on_end = on_attached, .arg = h};
	h->call = client_call(h->member, "/etcdserverpb.KV/Put", pack(&b, &q.base), &ops);
	buf_deinit(&b);
}

static void renew(struct holder *h)
{
	Etcdserverpb__LeaseKeepAliveRequest q = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
	struct buf b = BUF_INIT;
	if (h->stream && h->waiting) {
		/* It hangs. */
		client_cancel(h->stream);
		h->stream = NULL;
		h->member = clients_pick();
	}
	if (!h->stream) {
		struct client_ops ops = {
		    .on_message = on_renewed, .on_end = on_stream_end, .arg = h};
		h->stream =
		    client_call(h->member, "/etcdserverpb.Lease/LeaseKeepAlive", SLICE_EMPTY, &ops);
	}
	q.id = h->id;
	h->asked_us = sim.now_us;
	h->waiting = true;
	client_send(h->stream, pack(&b, &q.base));
	buf_deinit(&b);
}

static void on_revoked(void *arg, int code, const char *text, bool sent, struct slice answer)
{
	struct holder *h = arg;
	h->call = NULL;
	later(h, 1000);
}

static void let_end(struct holder *h)
{
	Etcdserverpb__LeaseRevokeRequest q = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
	struct buf b = BUF_INIT;
	h->revoking = true;
	q.id = h->id;
	struct client_ops ops = {.on_end = on_revoked, .arg = h};
	h->call =
	    client_call(h->member, "/etcdserverpb.Lease/LeaseRevoke", pack(&b, &q.base), &ops);
	buf_deinit(&b);
}

struct patience {
	struct holder *holder;
	uint64_t tries;
};

static void on_patience(void *arg)
{
	struct patience *p = arg;
	struct holder *h = p->holder;
	if (h->tries == p->tries && h->call) {
		give_up(h);
		h->member = clients_pick();
		if (h->phase == ATTACH)
			h->phase = LET_GO;
		later(h, 1000);
	}
	free(p);
}

static void be_patient(struct holder *h)
{
	struct patience *p = malloc(sizeof(*p));
	*p = (struct patience){h, h->tries};
	sim_after(2000000 + sim_below(4000000), on_patience, p);
}

static void go_on(void *arg)
{
	struct holder *h = arg;
	switch (h->phase) {
	case GRANT:
		if (finishing)
			return;
		grant(h);
		be_patient(h);
		break;
	case ATTACH:
		attach(h);
		be_patient(h);
		break;
	case HOLD:
		if (h->renewals_left && !h->gone) {
			h->renewals_left--;
			renew(h);
			/* Some are lazy. */
			later(h, (uint64_t)h->ttl_s *
			                 (sim_chance(h->ttl_s < 10 ? 500 : 200) ? 330000 : 750000) +
			             sim_below(500000));
			break;
		}
		h->phase = LET_GO;
		/* fall through */
	case LET_GO:
		if (!h->gone && h->attached && !h->revoking && sim_chance(50)) {
			let_end(h);
			be_patient(h);
			break;
		}
		/* The next lease, when this one has ended. */
		if (h->gone || !h->attached || (h->revoking && sim_chance(500)))
			h->phase = GRANT;
		later(h, 500000);
		break;
	}
}

void leases_start(unsigned n)
{
	n_holders = MIN(n, (unsigned)HOLDERS_MAX);
	for (unsigned i = 0; i < n_holders; i++) {
		holders[i].at = i;
		holders[i].member = clients_pick();
		sim_after(sim_below(3000000), go_on, &holders[i]);
	}
}

void leases_finish(void)
{
	finishing = true;
	for (unsigned i = 0; i < n_holders; i++)
		holders[i].renewals_left = 0;
}

static bool has_ended(const struct holder *h)
{
	return h->gone || !h->attached || h->revoking;
}

bool leases_finished(void)
{
	for (unsigned i = 0; i < n_holders; i++)
		if (!has_ended(&holders[i]))
			return false;
	return true;
}

const char *leases_waiting_for(void)
{
	static char text[64];
	for (unsigned i = 0; i < n_holders; i++) {
		if (has_ended(&holders[i]))
			continue;
		snprintf(text, sizeof(text), "lease %" PRId64 " does not end", holders[i].id);
		return text;
	}
	return "no lease lives";
}
