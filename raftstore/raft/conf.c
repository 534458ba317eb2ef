/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "common/base/cleanup.h"
#include "raftstore/raft/conf.h"

enum {
	CONF_VERSION = 1,
	CONF_AUTO_LEAVE = 1,
	CONF_HEAD_BYTES = 5, /* version, flags, three counts */
	CONF_BYTES_MAX = CONF_HEAD_BYTES + 3 * RAFT_MEMBERS_MAX * 8,
};

static const char no_such_member[] = "etcdserver: member not found";
static const char member_exists[] = "etcdserver: member ID already exist";
static const char not_a_learner[] = "etcdserver: can only promote a learner member";

static bool ids_equal(const struct raft_ids *a, const struct raft_ids *b)
{
	return a->n == b->n && memcmp(a->at, b->at, a->n * sizeof(a->at[0])) == 0;
}

bool raft_conf_equal(const struct raft_conf *a, const struct raft_conf *b)
{
	return ids_equal(&a->voters, &b->voters) && ids_equal(&a->outgoing, &b->outgoing) &&
	       ids_equal(&a->learners, &b->learners) && a->auto_leave == b->auto_leave;
}

static int change_one(struct raft_conf *c, const struct raft_change *change, struct err *err)
{
	uint64_t id = change->id;
	bool voter = raft_ids_has(&c->voters, id), learner = raft_ids_has(&c->learners, id);
	if (id == 0)
		return err_set(err, ERR_INVALID, "member id is 0");
	switch (change->type) {
	case RAFT_PROMOTE:
		if (!voter && !learner)
			return err_set(err, ERR_NOT_FOUND, no_such_member);
		if (voter)
			return err_set(err, ERR_INVALID, not_a_learner);
		break;
	case RAFT_ADD_VOTER:
		if (voter)
			return err_set(err, ERR_ALREADY_EXISTS, member_exists);
		break;
	case RAFT_ADD_LEARNER:
		if (learner)
			return err_set(err, ERR_ALREADY_EXISTS, member_exists);
		break;
	case RAFT_REMOVE:
		if (!voter && !learner)
			return err_set(err, ERR_NOT_FOUND, no_such_member);
		break;
	default:
		return err_set(err, ERR_INVALID, "unknown membership change");
	}
	raft_ids_remove(&c->voters, id);
	raft_ids_remove(&c->learners, id);
	if (change->type == RAFT_REMOVE)
		return 0;
	if (!raft_ids_add(change->type == RAFT_ADD_LEARNER ? &c->learners : &c->voters, id))
		return err_set(err, ERR_LIMIT, "more than %d members", RAFT_MEMBERS_MAX);
	return 0;
}

/* How many are in one of the sets only. */
static unsigned difference(const struct raft_ids *a, const struct raft_ids *b)
{
	unsigned common = 0;
	for (unsigned i = 0; i < a->n; i++)
		common += raft_ids_has(b, a->at[i]);
	return a->n + b->n - 2 * common;
}

static bool members_fit(const struct raft_conf *c)
{
	const struct raft_ids *sets[] = {&c->voters, &c->outgoing, &c->learners};
	struct raft_ids all = {.n = 0};
	for (size_t s = 0; s < ARRAY_LEN(sets); s++)
		for (unsigned i = 0; i < sets[s]->n; i++)
			if (!raft_ids_add(&all, sets[s]->at[i]))
				return false;
	return true;
}

static int leave(const struct raft_conf *from, const struct raft_change_request *q,
                 struct raft_conf *ret, struct err *err)
{
	if (q->n)
		return err_set(err, ERR_INVALID, "leaving a joint configuration changes nothing");
	if (from->outgoing.n == 0)
		return err_set(err, ERR_CONFLICT, "the configuration is not joint");
	*ret = *from;
	ret->outgoing = (struct raft_ids){.n = 0};
	ret->auto_leave = false;
	return 0;
}

int raft_conf_change(const struct raft_conf *from, const struct raft_change_request *q,
                     struct raft_conf *ret, struct err *err)
{
	struct raft_conf c = *from;
	if (q->way == RAFT_CHANGE_LEAVE)
		return leave(from, q, ret, err);
	if (from->outgoing.n)
		return err_set(err, ERR_CONFLICT, "the joint configuration has to be left first");
	if (q->n == 0 || q->n > RAFT_MEMBERS_MAX)
		return err_set(err, ERR_INVALID, "no membership change, or too many");
	for (unsigned i = 0; i < q->n; i++) {
		int r = change_one(&c, &q->at[i], err);
		if (r < 0)
			return r;
	}
	if (c.voters.n == 0)
		return err_set(err, ERR_INVALID, "no voter would be left");
	/* Thesis, section 4.1: majorities of sets that differ by one member overlap; all others
	 * need the joint configuration of section 4.3. */
	if (q->way != RAFT_CHANGE_AUTO || difference(&from->voters, &c.voters) > 1) {
		c.outgoing = from->voters;
		c.auto_leave = q->way != RAFT_CHANGE_JOINT_EXPLICIT;
	}
	if (!members_fit(&c))
		return err_set(err, ERR_LIMIT, "more than %d members", RAFT_MEMBERS_MAX);
	*ret = c;
	return 0;
}

struct blob *raft_conf_encode(const struct raft_conf *conf)
{
	return raft_conf_entry_encode(conf, SLICE_EMPTY);
}

struct blob *raft_conf_entry_encode(const struct raft_conf *conf, struct slice context)
{
	const struct raft_ids *sets[] = {&conf->voters, &conf->outgoing, &conf->learners};
	uint8_t bytes[CONF_BYTES_MAX] = {CONF_VERSION, conf->auto_leave ? CONF_AUTO_LEAVE : 0};
	size_t n = CONF_HEAD_BYTES;
	for (size_t s = 0; s < ARRAY_LEN(sets); s++) {
		bytes[2 + s] = (uint8_t)sets[s]->n;
		for (unsigned i = 0; i < sets[s]->n; i++, n += 8)
			for (unsigned b = 0; b < 8; b++)
				bytes[n + b] = (uint8_t)(sets[s]->at[i] >> (56 - 8 * b));
	}
	struct blob *b = blob_new(n + context.len);
	memcpy(b->data, bytes, n);
	if (context.len)
		memcpy(b->data + n, context.data, context.len);
	return b;
}

bool raft_conf_entry_decode(struct slice bytes, struct raft_conf *ret, struct slice *ret_context)
{
	if (bytes.len < CONF_HEAD_BYTES)
		return false;
	const uint8_t *p = bytes.data;
	size_t n = CONF_HEAD_BYTES + 8 * ((size_t)p[2] + p[3] + p[4]);
	if (bytes.len < n || !raft_conf_decode(slice_of(p, n), ret))
		return false;
	if (ret_context)
		*ret_context = slice_skip(bytes, n);
	return true;
}

bool raft_conf_decode(struct slice bytes, struct raft_conf *ret)
{
	const uint8_t *p = bytes.data;
	struct raft_conf c = {.auto_leave = false};
	struct raft_ids *sets[] = {&c.voters, &c.outgoing, &c.learners};
	if (bytes.len < CONF_HEAD_BYTES || p[0] != CONF_VERSION || p[1] > CONF_AUTO_LEAVE ||
	    bytes.len != CONF_HEAD_BYTES + 8 * ((size_t)p[2] + p[3] + p[4]))
		return false;
	c.auto_leave = p[1];
	const uint8_t *at = p + CONF_HEAD_BYTES;
	for (size_t s = 0; s < ARRAY_LEN(sets); s++) {
		for (unsigned i = 0; i < p[2 + s]; i++, at += 8) {
			uint64_t id = 0;
			for (unsigned b = 0; b < 8; b++)
				id = id << 8 | at[b];
			/* Each id once and in order, so that equal sets are equal bytes. */
			if ((i && id <= sets[s]->at[i - 1]) || !raft_ids_add(sets[s], id))
				return false;
		}
	}
	if (c.voters.n == 0 || !members_fit(&c) || (c.auto_leave && c.outgoing.n == 0))
		return false;
	*ret = c;
	return true;
}
