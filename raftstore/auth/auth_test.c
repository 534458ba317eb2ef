/* SPDX-License-Identifier: Apache-2.0 */
/* Scripts over an in-memory store: each command's outcome stands behind "----". In arguments \0 is
 * a zero byte and "" is empty; REWRITE=1 writes what came out into the files. */
#include "raftstore/auth/auth.h"
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <cmocka.h>
#include "common/base/rng.h"
#include "common/base/vec.h"
#include "common/codec/base64.h"
#include "raftstore/auth/tokens.h"
#include "raftstore/mvcc/lease.h"
#include "raftstore/store/store.h"

enum { ARGS_MAX = 6 };

struct world {
	struct kv_txn *kv;
	struct mvcc mvcc;
	struct auth_view *view;
	struct arena arena;
	struct buf out;
	struct slice arg[ARGS_MAX];
	size_t n;
};

static char *text(struct world *w, size_t i)
{
	return arena_strndup(&w->arena, i < w->n ? w->arg[i].data : (const uint8_t *)"",
	                     i < w->n ? w->arg[i].len : 0);
}

static ProtobufCBinaryData bytes(struct world *w, size_t i)
{
	ProtobufCBinaryData b = {0};
	if (i < w->n)
		b = (ProtobufCBinaryData){w->arg[i].len, (uint8_t *)w->arg[i].data};
	return b;
}

static char *hashed(struct world *w, size_t i)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	if (i < w->n)
		base64_encode(w->arg[i], &b);
	return arena_strndup(&w->arena, b.data, b.len);
}

static int user_add(struct world *w)
{
	Etcdserverpb__AuthUserAddRequest q = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
	Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
	q.name = text(w, 1);
	options.no_password = w->n < 3;
	q.options = &options;
	q.hashedpassword = hashed(w, 2);
	return auth_user_add(w->kv, &q);
}

static int user_delete(struct world *w)
{
	Etcdserverpb__AuthUserDeleteRequest q = ETCDSERVERPB__AUTH_USER_DELETE_REQUEST__INIT;
	q.name = text(w, 1);
	return auth_user_delete(w->kv, &q);
}

static int user_passwd(struct world *w)
{
	Etcdserverpb__AuthUserChangePasswordRequest q =
	    ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
	q.name = text(w, 1);
	q.hashedpassword = hashed(w, 2);
	return auth_user_change_password(w->kv, &q);
}

static int user_grant(struct world *w)
{
	Etcdserverpb__AuthUserGrantRoleRequest q = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
	q.user = text(w, 1);
	q.role = text(w, 2);
	return auth_user_grant_role(w->kv, &q);
}

static int user_revoke(struct world *w)
{
	Etcdserverpb__AuthUserRevokeRoleRequest q =
	    ETCDSERVERPB__AUTH_USER_REVOKE_ROLE_REQUEST__INIT;
	q.name = text(w, 1);
	q.role = text(w, 2);
	return auth_user_revoke_role(w->kv, &q);
}

static int role_add(struct world *w)
{
	Etcdserverpb__AuthRoleAddRequest q = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
	q.name = text(w, 1);
	return auth_role_add(w->kv, &q);
}

static int role_delete(struct world *w)
{
	Etcdserverpb__AuthRoleDeleteRequest q = ETCDSERVERPB__AUTH_ROLE_DELETE_REQUEST__INIT;
	q.role = text(w, 1);
	return auth_role_delete(w->kv, &q);
}

static int role_grant(struct world *w)
{
	Etcdserverpb__AuthRoleGrantPermissionRequest q =
	    ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
	Authpb__Permission p = AUTHPB__PERMISSION__INIT;
	q.name = text(w, 1);
	const char *type = text(w, 2);
	p.permtype = !strcmp(type, "read")    ? AUTHPB__PERMISSION__TYPE__READ
	             : !strcmp(type, "write") ? AUTHPB__PERMISSION__TYPE__WRITE
	                                      : AUTHPB__PERMISSION__TYPE__READWRITE;
	p.key = bytes(w, 3);
	p.range_end = bytes(w, 4);
	q.perm = w->n > 2 ? &p : NULL;
	return auth_role_grant(w->kv, &q);
}

static int role_revoke(struct world *w)
{
	Etcdserverpb__AuthRoleRevokePermissionRequest q =
	    ETCDSERVERPB__AUTH_ROLE_REVOKE_PERMISSION_REQUEST__INIT;
	q.role = text(w, 1);
	q.key = bytes(w, 2);
	q.range_end = bytes(w, 3);
	return auth_role_revoke(w->kv, &q);
}

static int enable(struct world *w)
{
	return auth_enable(w->kv);
}

static int disable(struct world *w)
{
	return auth_disable(w->kv);
}

static struct identity who(struct world *w, size_t i)
{
	struct identity id = {.user = w->arg[i], .revision = auth_revision(w->view)};
	const uint8_t *at = memchr(id.user.data, '@', id.user.len);
	if (at) {
		id.revision = strtoull((const char *)at + 1, NULL, 10);
		id.user.len = (size_t)(at - id.user.data);
	}
	id.system = slice_eq_str(id.user, "<system>");
	return id;
}

static int can(struct world *w)
{
	struct identity id = who(w, 1);
	enum auth_right right = slice_eq_str(w->arg[2], "read") ? AUTH_READ : AUTH_WRITE;
	return auth_check_keys(w->view, &id, right, w->arg[3], w->n > 4 ? w->arg[4] : SLICE_EMPTY);
}

static int is_admin(struct world *w)
{
	struct identity id = who(w, 1);
	return auth_check_admin(w->view, &id);
}

static int is_known(struct world *w)
{
	struct identity id = who(w, 1);
	return auth_check_known(w->view, &id);
}

/* attach LEASE KEY: a key that hangs on a lease. */
static int attach(struct world *w)
{
	int64_t id = strtoll(text(w, 1), NULL, 10);
	return lease_attach(&w->mvcc, id, w->arg[2]);
}

static int can_lease(struct world *w)
{
	struct identity id = who(w, 1);
	enum auth_right right = slice_eq_str(w->arg[2], "read") ? AUTH_READ : AUTH_WRITE;
	return auth_check_lease(w->view, &id, w->kv, right, strtoll(text(w, 3), NULL, 10));
}

/* can-put WHO KEY LEASE [prev] */
static int can_put(struct world *w)
{
	struct identity id = who(w, 1);
	Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
	q.key = bytes(w, 2);
	q.lease = strtoll(text(w, 3), NULL, 10);
	q.prev_kv = w->n > 4;
	return auth_check_put(w->view, &id, w->kv, &q);
}

/* can-txn WHO COMPARED READ PUT DELETED: each in a branch or a nested transaction. */
static int can_txn(struct world *w)
{
	struct identity id = who(w, 1);
	Etcdserverpb__Compare c = ETCDSERVERPB__COMPARE__INIT, *cs[] = {&c};
	Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
	Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
	Etcdserverpb__DeleteRangeRequest del = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
	Etcdserverpb__RequestOp op[4], *first[] = {&op[0]}, *second[] = {&op[3]}, *inner[2];
	for (size_t i = 0; i < 4; i++)
		etcdserverpb__request_op__init(&op[i]);
	Etcdserverpb__TxnRequest t = ETCDSERVERPB__TXN_REQUEST__INIT, nested = t;
	c.key = bytes(w, 2);
	range.key = bytes(w, 3);
	put.key = bytes(w, 4);
	del.key = bytes(w, 5);
	op[0].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
	op[0].request_range = &range;
	op[1].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
	op[1].request_put = &put;
	op[2].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
	op[2].request_delete_range = &del;
	op[3].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
	op[3].request_txn = &nested;
	inner[0] = &op[1];
	inner[1] = &op[2];
	nested.success = inner;
	nested.n_success = 2;
	t.compare = cs;
	t.success = first;
	t.failure = second;
	t.n_compare = t.n_success = t.n_failure = 1;
	return auth_check_txn(w->view, &id, w->kv, &t);
}

static void show_perms(struct world *w, const char *name, const struct perms *p)
{
	buf_printf(&w->out, " %s:", name);
	for (size_t i = 0; i < p->n; i++) {
		const struct key_range *r = &p->at[i];
		buf_printf(&w->out, " [%.*s,", SLICE_FMT(r->key));
		for (size_t j = 0; !r->unbounded && j < r->end.len; j++)
			buf_printf(&w->out, r->end.data[j] ? "%c" : "\\0", r->end.data[j]);
		buf_str(&w->out, r->unbounded ? "...)" : ")");
	}
}

static int show(struct world *w)
{
	buf_printf(&w->out, "%s %llu\n", auth_enabled(w->view) ? "on" : "off",
	           (unsigned long long)auth_revision(w->view));
	const struct auth_user *u;
	size_t n = auth_users(w->view, &u);
	for (; n; n--, u++) {
		buf_printf(&w->out, "user %.*s (", SLICE_FMT(u->name));
		for (size_t i = 0; i < u->stored->n_roles; i++)
			buf_printf(&w->out, i ? " %s" : "%s", u->stored->roles[i]);
		buf_str(&w->out, u->no_password ? ") no password" : ")");
		if (u->root)
			buf_str(&w->out, " root");
		show_perms(w, "read", &u->read);
		show_perms(w, "write", &u->write);
		buf_byte(&w->out, '\n');
	}
	const Authpb__Role *const *roles;
	n = auth_roles(w->view, &roles);
	for (size_t i = 0; i < n; i++)
		buf_printf(&w->out, "role %.*s %zu\n", (int)roles[i]->name.len, roles[i]->name.data,
		           roles[i]->n_keypermission);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(struct world *w);
} commands[] = {
    {"user-add", user_add},
    {"user-delete", user_delete},
    {"user-passwd", user_passwd},
    {"user-grant", user_grant},
    {"user-revoke", user_revoke},
    {"role-add", role_add},
    {"role-delete", role_delete},
    {"role-grant", role_grant},
    {"role-revoke", role_revoke},
    {"enable", enable},
    {"disable", disable},
    {"can", can},
    {"admin", is_admin},
    {"known", is_known},
    {"attach", attach},
    {"can-lease", can_lease},
    {"can-put", can_put},
    {"can-txn", can_txn},
    {"show", show},
};

/* Splits at spaces; resolves \0 and "". */
static void split(struct world *w, struct slice line)
{
	w->n = 0;
	for (size_t i = 0; i < line.len && w->n < ARGS_MAX;) {
		uint8_t *word = arena_alloc(&w->arena, line.len);
		size_t n = 0;
		for (; i < line.len && line.data[i] != ' '; i++) {
			if (line.data[i] == '\\' && i + 1 < line.len && line.data[i + 1] == '0') {
				word[n++] = 0;
				i++;
			} else if (line.data[i] != '"') {
				word[n++] = line.data[i];
			}
		}
		w->arg[w->n++] = slice_of(word, n);
		while (i < line.len && line.data[i] == ' ')
			i++;
	}
}

static void run_line(struct world *w, struct slice line)
{
	split(w, line);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!slice_eq_str(w->arg[0], commands[i].name))
			continue;
		auth_view_unref(w->view);
		assert_int_equal(auth_load(w->kv, &w->view), 0);
		size_t said = w->out.len;
		int r = commands[i].run(w);
		assert_true(r >= 0);
		if (w->out.len == said)
			buf_printf(&w->out, "%s\n", r ? outcome_text(r) : "ok");
		bool current;
		assert_int_equal(auth_view_is_current(w->view, w->kv, &current), 0);
		return;
	}
	fail_msg("no command %.*s", SLICE_FMT(w->arg[0]));
}

static struct slice next_line(struct slice *rest)
{
	const uint8_t *end = memchr(rest->data, '\n', rest->len);
	size_t n = end ? (size_t)(end - rest->data) : rest->len;
	struct slice line = slice_of(rest->data, n);
	*rest = slice_skip(*rest, n + 1);
	return line;
}

/* Blocks of commands, "----", what they say, an empty line. */
static void run_script(struct world *w, struct slice script, struct buf *seen)
{
	while (script.len) {
		struct slice line = next_line(&script);
		buf_slice(seen, line);
		buf_byte(seen, '\n');
		if (!line.len || line.data[0] == '#')
			continue;
		if (!slice_eq_str(line, "----")) {
			run_line(w, line);
			continue;
		}
		while (script.len && next_line(&script).len)
			;
		buf_slice(seen, buf_view(&w->out));
		buf_clear(&w->out);
		if (script.len)
			buf_byte(seen, '\n');
	}
}

static void run_file(const char *path)
{
	_cleanup_buf_ struct buf script = BUF_INIT, seen = BUF_INIT;
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	buf_reserve(&script, 1 << 16);
	script.len = fread(script.data, 1, 1 << 16, f);
	fclose(f);
	struct world w = {.kv = memory_store_new()};
	arena_init(&w.arena);
	assert_int_equal(mvcc_open(&w.mvcc, w.kv), 0);
	run_script(&w, buf_view(&script), &seen);
	auth_view_unref(w.view);
	buf_deinit(&w.out);
	mvcc_close(&w.mvcc);
	arena_deinit(&w.arena);
	memory_store_free(w.kv);
	if (getenv("REWRITE")) {
		f = fopen(path, "w");
		assert_non_null(f);
		fwrite(seen.data, 1, seen.len, f);
		fclose(f);
		return;
	}
	buf_byte(&script, 0);
	buf_byte(&seen, 0);
	assert_string_equal((char *)seen.data, (char *)script.data);
}

static void test_scripts(void **state)
{
	static const char *const files[] = {"changes", "ranges", "checks"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		_cleanup_buf_ struct buf path = BUF_INIT;
		buf_printf(&path, TESTDATA "/%s.txt", files[i]);
		run_file((char *)path.data);
	}
}

/* Whatever the permissions: a merged set covers a range exactly when it covers each of its keys.
 * Keys are one letter or two, so that all of a range can be tried. */
static void test_merge_is_union(void **state)
{
	static const uint8_t letters[] = "abcdef";
	struct rng rng;
	rng_init(&rng, 7);
	for (unsigned round = 0; round < 20000; round++) {
		_cleanup_arena_ struct arena a;
		struct key_range ranges[5], copy[5];
		struct perms p;
		size_t n = rng_below(&rng, ARRAY_LEN(ranges) + 1);
		arena_init(&a);
		for (size_t i = 0; i < n; i++) {
			struct slice end = SLICE_EMPTY;
			uint64_t kind = rng_below(&rng, 8);
			if (kind == 0)
				end = slice_of("", 1);
			else if (kind < 6)
				end = slice_of(letters + rng_below(&rng, 6), 1);
			ranges[i] = key_range_of(slice_of(letters + rng_below(&rng, 6), 1), end);
			copy[i] = ranges[i];
		}
		perms_merge(ranges, n, &a, &p);
		for (unsigned k = 0; k < 6; k++) {
			struct key_range one = {.key = slice_of(letters + k, 1)};
			bool any = false;
			for (size_t i = 0; i < n; i++)
				any |= key_range_has(&copy[i], one.key);
			assert_int_equal(perms_cover(&p, &one), any);
		}
		for (size_t i = 1; i < p.n; i++)
			assert_true(slice_cmp(p.at[i - 1].end, p.at[i].key) < 0);
	}
}

static void test_tokens(void **state)
{
	struct tokens t;
	uint8_t a[TOKEN_HASH_BYTES] = {1}, b[TOKEN_HASH_BYTES] = {2};
	tokens_init(&t, 1000, 42);
	assert_null(tokens_use(&t, a, 0));
	assert_true(tokens_add(&t, a, SLICE_LIT("alice"), 5, 17, 0));
	assert_null(tokens_use(&t, b, 0));
	const struct token *token = tokens_use(&t, a, 900);
	assert_non_null(token);
	assert_int_equal(token->stamp, 5);
	assert_int_equal(token->index, 17);
	assert_true(slice_eq_str(slice_of(token->user, token->user_len), "alice"));
	assert_non_null(tokens_use(&t, a, 1899)); /* its use has made it live longer */
	assert_null(tokens_use(&t, a, 2899));
	assert_null(tokens_use(&t, a, 0));
	assert_int_equal(t.by_hash.n, 0);
	for (unsigned i = 0; i < 3000; i++) {
		memcpy(a, &i, sizeof(i));
		assert_true(tokens_add(&t, a, SLICE_LIT("bob"), 0, i, i));
	}
	assert_true(t.by_hash.n < 2001); /* expired ones were swept out on the way */
	tokens_clear(&t);
	assert_null(tokens_use(&t, a, 3000));
	for (unsigned i = 0; i < TOKENS_MAX; i++) {
		memcpy(a, &i, sizeof(i));
		assert_true(tokens_add(&t, a, SLICE_EMPTY, 0, i, 0));
	}
	assert_false(tokens_add(&t, b, SLICE_LIT("late"), 0, 1, 0));
	assert_true(tokens_add(&t, b, SLICE_LIT("later"), 0, 1, 1000));
	tokens_deinit(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_scripts),
	    cmocka_unit_test(test_merge_is_union),
	    cmocka_unit_test(test_tokens),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
