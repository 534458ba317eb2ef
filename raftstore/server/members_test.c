/* SPDX-License-Identifier: Apache-2.0 */
/* Members as data: etcd's ids, changes on the tables, and what waits in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "raftstore/server/members.h"
#include "raftstore/server/request.h"
#include "raftstore/server/waiters.h"
#include "raftstore/store/store.h"

static member member_of(uint64_t id, const char *name, char **urls, size_t n)
{
	member m = ETCDSERVERPB__MEMBER__INIT;
	m.id = id;
	m.name = (char *)name;
	m.peerurls = urls;
	m.n_peerurls = n;
	return m;
}

/* The ids of etcd's own defaults, and those of the cluster of its Procfile. */
static void test_ids_are_those_of_etcd(void **state)
{
	char *one[] = {(char *)"http://localhost:2380"};
	assert_int_equal(member_id_of(one, 1, "etcd-cluster", 0), 0x8e9e05c52164694d);
	_cleanup_members_ struct members m;
	members_init(&m);
	member only = member_of(0x8e9e05c52164694d, "default", one, 1);
	members_put(&m, &only);
	assert_int_equal(cluster_id_of(&m), 0xcdf818194e3a8c32);

	static const uint64_t ids[] = {0x8211f1d0f64f3269, 0x91bc3c398fb3c146, 0xfd422379fda50e48};
	static const char *const urls[] = {"http://127.0.0.1:12380", "http://127.0.0.1:22380",
	                                   "http://127.0.0.1:32380"};
	_cleanup_members_ struct members three;
	members_init(&three);
	for (size_t i = 3; i-- > 0;) {
		char *url[] = {(char *)urls[i]};
		uint64_t id = member_id_of(url, 1, "etcd-cluster-1", 0);
		assert_int_equal(id, ids[i]);
		member each = member_of(id, "infra", url, 1);
		members_put(&three, &each);
	}
	assert_int_equal(three.list.at[0]->id, ids[0]);
	assert_int_equal(cluster_id_of(&three), 0xef37ad9dc622a7c4);
}

static void test_order_of_urls_does_not_count(void **state)
{
	char *ab[] = {(char *)"http://a:1", (char *)"http://b:1"};
	char *ba[] = {(char *)"http://b:1", (char *)"http://a:1"};
	assert_int_equal(member_id_of(ab, 2, "t", 0), member_id_of(ba, 2, "t", 0));
	assert_int_not_equal(member_id_of(ab, 2, "t", 0), member_id_of(ab, 2, "u", 0));
	assert_int_not_equal(member_id_of(ab, 2, "t", 0), member_id_of(ab, 2, "t", 1));
}

static void test_urls(void **state)
{
	static const char *const good[] = {"http://a:1", "https://10.0.0.1:2380",
	                                   "https://[::1]:65535", "http://a.b-c:80"};
	static const char *const bad[] = {"",
	                                  "a:1",
	                                  "http://",
	                                  "http://a",
	                                  "http://:1",
	                                  "http://a:",
	                                  "http://a:1/",
	                                  "http://a:1,http://b:1",
	                                  "http://a:65536",
	                                  "http://a:999999",
	                                  "http://::1:1",
	                                  "http://[::1:1",
	                                  "ftp://a:1"};
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(peer_url_valid(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(peer_url_valid(bad[i]));
}

static int apply(struct kv_txn *kv, const struct raft_conf *conf, enum member_op op,
                 const member *m)
{
	_cleanup_buf_ struct buf context = BUF_INIT;
	if (m)
		member_change_encode(&context, &(struct member_change){op, m});
	struct blob *entry = raft_conf_entry_encode(conf, buf_view(&context));
	int r = members_apply(kv, blob_view(entry));
	blob_unref(entry);
	return r;
}

static void test_entries_change_the_tables(void **state)
{
	struct kv_txn *kv = memory_store_new();
	struct raft_conf conf = {.auto_leave = false}, now;
	char *url[] = {(char *)"http://a:1"};
	member m = member_of(7, "", url, 1);
	m.islearner = true;
	raft_ids_add(&conf.voters, 1);
	raft_ids_add(&conf.learners, 7);
	assert_int_equal(apply(kv, &conf, MEMBER_ADD, &m), 0);
	assert_int_equal(conf_read(kv, &now), 0);
	assert_true(raft_conf_equal(&now, &conf));
	struct members all;
	members_init(&all);
	assert_int_equal(members_read(kv, &all), 0);
	assert_int_equal(all.list.n, 1);
	assert_true(all.list.at[0]->islearner);
	assert_int_equal(members_voters(&all), 0);
	assert_true(members_have_url(&all, url, 1, 0));
	assert_false(members_have_url(&all, url, 1, 7));
	members_deinit(&all);

	/* The rest of the member stays as it is when it is promoted. */
	assert_int_equal(apply(kv, &conf, MEMBER_PROMOTE, &m), 0);
	members_init(&all);
	assert_int_equal(members_read(kv, &all), 0);
	assert_false(members_find(&all, 7)->islearner);
	assert_string_equal(members_find(&all, 7)->peerurls[0], "http://a:1");
	members_deinit(&all);

	assert_int_equal(apply(kv, &conf, MEMBER_REMOVE, &m), 0);
	members_init(&all);
	assert_int_equal(members_read(kv, &all), 0);
	assert_null(members_find(&all, 7));
	assert_true(members_is_removed(&all, 7));
	members_deinit(&all);
	/* Leaving a joint configuration tells nothing of members. */
	assert_int_equal(apply(kv, &conf, MEMBER_ADD, NULL), 0);
	memory_store_free(kv);
}

/* Whatever one byte of a change becomes: no crash, and no loop. */
static void test_hostile_changes(void **state)
{
	char *url[] = {(char *)"http://a:1"};
	member m = member_of(7, "name", url, 1);
	_cleanup_buf_ struct buf b = BUF_INIT;
	member_change_encode(&b, &(struct member_change){MEMBER_ADD, &m});
	for (size_t i = 0; i < b.len; i++) {
		uint8_t was = b.data[i];
		for (unsigned v = 0; v < 256; v++) {
			_cleanup_arena_ struct arena a;
			arena_init(&a);
			b.data[i] = (uint8_t)v;
			struct slice context = buf_view(&b);
			struct member_change c;
			size_t n = 0;
			while (member_change_next(&context, &a, &c))
				assert_true(n++ < b.len);
		}
		b.data[i] = was;
	}
}

static void test_forwarded_commands(void **state)
{
	struct request *q = request_new(NULL, COMMAND_PUT);
	Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
	put.key = (ProtobufCBinaryData){3, (uint8_t *)"key"};
	q->message = &put.base;
	request_pack_command(q);
	uint64_t origin, sequence;
	assert_false(command_origin(blob_view(q->command), &origin, &sequence));
	struct blob *b = command_forwarded(blob_view(q->command), 0x1122334455667788, 42);
	assert_non_null(b);
	assert_true(command_origin(blob_view(b), &origin, &sequence));
	assert_int_equal(origin, 0x1122334455667788);
	assert_int_equal(sequence, 42);
	_cleanup_arena_ struct arena a;
	arena_init(&a);
	enum command_kind kind;
	struct identity who;
	const Etcdserverpb__PutRequest *back =
	    (const void *)command_decode(blob_view(b), &a, &kind, &who);
	assert_non_null(back);
	assert_int_equal(kind, COMMAND_PUT);
	assert_true(who.system);
	assert_memory_equal(back->key.data, "key", 3);
	/* Nothing is forwarded twice, and nothing that is no command. */
	assert_null(command_forwarded(blob_view(b), 1, 1));
	assert_null(command_forwarded(SLICE_LIT("\x01\x3e"), 1, 1));
	for (size_t i = 0; i < b->len; i++)
		(void)command_decode(slice_of(b->data, i), &a, &kind, &who);
	blob_unref(b);
	request_free(q);
}

static void test_waiters(void **state)
{
	struct waiters w = {0};
	char items[5000];
	for (uint64_t i = 0; i < ARRAY_LEN(items); i++)
		waiters_push(&w, 10 + 2 * i, &items[i]);
	assert_null(waiters_take(&w, 11));
	assert_ptr_equal(waiters_take(&w, 10 + 2 * 77), &items[77]);
	assert_null(waiters_take(&w, 10 + 2 * 77));
	for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
		if (i == 77)
			continue;
		struct waiter *first = waiters_first(&w);
		assert_non_null(first);
		assert_int_equal(first->key, 10 + 2 * i);
		first->item = NULL;
	}
	assert_null(waiters_first(&w));
	assert_int_equal(w.n, 0);
	vec_deinit(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ids_are_those_of_etcd),
	    cmocka_unit_test(test_order_of_urls_does_not_count),
	    cmocka_unit_test(test_urls),
	    cmocka_unit_test(test_entries_change_the_tables),
	    cmocka_unit_test(test_hostile_changes),
	    cmocka_unit_test(test_forwarded_commands),
	    cmocka_unit_test(test_waiters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
