/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/crypto.h>
#include "common/base/log.h"
#include "common/base/rng.h"
#include "proto/raftstore.pb-c.h"
#include "raftstore/mvcc/txn.h"
#include "raftstore/server/auth.h"
#include "raftstore/server/node.h"
#include "raftstore/server/pb_out.h"

/* Auth: changes go through the log, the administrator's alone; questions are answered from the
 * state in force behind a read index. Passwords are hashed and compared on a worker of their own.
 */

enum { PASSWORD_CALLS_MAX = 64 }; /* that wait for the worker */

/* --- changes --- */

struct change {
	struct server *server;
	enum command_kind kind;
	const ProtobufCMessageDescriptor *desc;
};

/* NULL: the call has been ended. */
static struct request *change_new(struct server *s, struct rpc_call *call, struct slice message,
                                  enum command_kind kind, const ProtobufCMessageDescriptor *desc)
{
	struct request *q = request_new(call, kind);
	q->message = message_decode(desc, message, &q->arena);
	int r = q->message ? request_identify(s, q) : OUTCOME_BAD_MESSAGE;
	if (!r && message.len > (size_t)s->options->max_request_bytes)
		r = OUTCOME_TOO_LARGE;
	if (!r)
		r = auth_check_call(s, call, AUTH_ADMIN);
	if (!r)
		return q;
	request_fail(q, r);
	return NULL;
}

static void change(struct rpc_call *call, struct slice message, struct server *s,
                   enum command_kind kind, const ProtobufCMessageDescriptor *desc)
{
	struct request *q = change_new(s, call, message, kind, desc);
	if (!q)
		return;
	request_pack_command(q);
	node_propose(s->node, q);
}

#define CHANGE(function, KIND, type)                                                   \
	static void function(struct rpc_call *call, struct slice message, void *arg)   \
	{                                                                              \
		change(call, message, arg, KIND, &etcdserverpb__##type##__descriptor); \
	}

CHANGE(on_enable, COMMAND_AUTH_ENABLE, auth_enable_request)
CHANGE(on_disable, COMMAND_AUTH_DISABLE, auth_disable_request)
CHANGE(on_user_delete, COMMAND_USER_DELETE, auth_user_delete_request)
CHANGE(on_user_grant, COMMAND_USER_GRANT_ROLE, auth_user_grant_role_request)
CHANGE(on_user_revoke, COMMAND_USER_REVOKE_ROLE, auth_user_revoke_role_request)
CHANGE(on_role_add, COMMAND_ROLE_ADD, auth_role_add_request)
CHANGE(on_role_delete, COMMAND_ROLE_DELETE, auth_role_delete_request)
CHANGE(on_role_grant, COMMAND_ROLE_GRANT_PERMISSION, auth_role_grant_permission_request)
CHANGE(on_role_revoke, COMMAND_ROLE_REVOKE_PERMISSION, auth_role_revoke_permission_request)

/* --- new passwords --- */

struct hashing {
	struct server *server;
	struct request *request;
};

static void hash_slowly(void *arg)
{
	struct hashing *h = arg;
	struct request *q = h->request;
	struct server *s = h->server;
	if (s->stopping) {
		request_fail(q, OUTCOME_STOPPED);
		free(h);
		return;
	}
	_cleanup_buf_ struct buf hashed = BUF_INIT;
	char **password, **field;
	if (q->kind == COMMAND_USER_ADD) {
		Etcdserverpb__AuthUserAddRequest *m = (void *)q->message;
		password = &m->password;
		field = &m->hashedpassword;
	} else {
		Etcdserverpb__AuthUserChangePasswordRequest *m = (void *)q->message;
		password = &m->password;
		field = &m->hashedpassword;
	}
	password_hash(*password, (unsigned)s->options->bcrypt_cost, &hashed);
	*field = arena_strndup(&q->arena, hashed.data, hashed.len);
	/* Neither the log nor the memory keeps it. */
	if (**password)
		OPENSSL_cleanse(*password, strlen(*password));
	free(h);
	request_pack_command(q);
	node_propose(s->node, q);
	s->password_calls--;
}

static bool take_turn(struct server *s)
{
	if (s->password_calls++ < PASSWORD_CALLS_MAX)
		return true;
	s->password_calls--;
	return false;
}

static void hash_and_propose(struct server *s, struct request *q, const char *password)
{
	int r = strlen(password) > PASSWORD_MAX ? OUTCOME_PASSWORD_TOO_LONG
	        : !take_turn(s)                 ? OUTCOME_TOO_MANY_REQUESTS
	                                        : 0;
	if (r) {
		request_fail(q, r);
		return;
	}
	struct hashing *h = calloc(1, sizeof(*h));
	if (!h)
		abort();
	*h = (struct hashing){s, q};
	worker_post(&s->auth_worker, hash_slowly, h);
}

static void on_user_add(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct request *q = change_new(s, call, message, COMMAND_USER_ADD,
	                               &etcdserverpb__auth_user_add_request__descriptor);
	if (!q)
		return;
	Etcdserverpb__AuthUserAddRequest *m = (void *)q->message;
	m->hashedpassword = (char *)"";
	if (m->options && m->options->no_password) {
		m->password = (char *)"";
		request_pack_command(q);
		node_propose(s->node, q);
		return;
	}
	hash_and_propose(s, q, m->password);
}

static void on_user_change_password(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct request *q =
	    change_new(s, call, message, COMMAND_USER_CHANGE_PASSWORD,
	               &etcdserverpb__auth_user_change_password_request__descriptor);
	if (q)
		hash_and_propose(
		    s, q, ((Etcdserverpb__AuthUserChangePasswordRequest *)q->message)->password);
}

/* --- authentication --- */

struct login {
	struct server *server;
	struct rpc_call *call;
	struct arena arena;
	Etcdserverpb__AuthenticateRequest *message;
	const char *token; /* its name, while it is replicated */
};

static void login_end(struct login *l, int r)
{
	if (r)
		call_fail(l->call, r);
	l->server->password_calls--;
	if (l->message && *l->message->password)
		OPENSSL_cleanse(l->message->password, strlen(l->message->password));
	arena_deinit(&l->arena);
	free(l);
}

static void reply_token(struct login *l, struct slice token)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	out_header(&b, l->server, l->server->revision);
	out_bytes(&b, 2, token);
	rpc_call_reply(l->call, buf_view(&b));
}

/* The entry has been applied here, and the token tells others up to where they must have come. */
static void token_made(void *arg, int outcome, struct slice answer)
{
	struct login *l = arg;
	if (!outcome) {
		_cleanup_buf_ struct buf token = BUF_INIT;
		buf_printf(&token, "%s.%llu", l->token, (unsigned long long)l->server->applied);
		reply_token(l, buf_view(&token));
	}
	login_end(l, outcome);
}

/* The token is valid everywhere once its hash has been applied; the client alone gets it. */
static void token_propose(struct login *l, const struct auth_user *u, struct slice name)
{
	uint8_t hash[TOKEN_HASH_BYTES];
	struct request *q = request_new(NULL, COMMAND_AUTHENTICATED);
	Raftstorepb__Authenticated *m = arena_new(&q->arena, Raftstorepb__Authenticated);
	raftstorepb__authenticated__init(m);
	token_hash(name, hash);
	m->user = arena_strndup(&q->arena, u->name.data, u->name.len);
	m->stamp = u->stamp;
	m->token_hash.data = arena_memdup(&q->arena, hash, sizeof(hash));
	m->token_hash.len = sizeof(hash);
	q->message = &m->base;
	l->token = arena_strndup(&l->arena, name.data, name.len);
	q->done = token_made;
	q->done_arg = l;
	request_pack_command(q);
	node_propose(l->server->node, q);
}

static int login_check(struct login *l, const struct auth_view *v, const struct auth_user **ret)
{
	if (!auth_enabled(v))
		return OUTCOME_AUTH_NOT_ENABLED;
	const struct auth_user *u = auth_find_user(v, slice_str(l->message->name));
	if (u && u->no_password)
		return OUTCOME_NO_PASSWORD_USER;
	*ret = u;
	unsigned cost = (unsigned)l->server->options->bcrypt_cost;
	return password_matches(u, l->message->password, cost) ? 0 : OUTCOME_AUTH_FAILED;
}

static void login_slowly(void *arg)
{
	struct login *l = arg;
	struct server *s = l->server;
	const struct auth_user *u = NULL;
	_cleanup_buf_ struct buf token = BUF_INIT;
	bool simple = false;
	_cleanup_(auth_view_unref_p) struct auth_view *v = auth_now(s);
	int r = s->stopping ? OUTCOME_STOPPED : login_check(l, v, &u);
	if (r == OUTCOME_AUTH_FAILED)
		log_info("Authentication has failed", LOG_STR("user", l->message->name),
		         LOG_STR("from", rpc_call_peer_address(l->call)));
	if (!r)
		r = auth_make_token(s, u, auth_revision(v), &token, &simple);
	if (!r && simple) {
		token_propose(l, u, buf_view(&token));
		return;
	}
	if (!r)
		reply_token(l, buf_view(&token));
	login_end(l, r);
}

static void login_start(void *arg, int outcome)
{
	struct login *l = arg;
	if (outcome)
		login_end(l, outcome);
	else
		worker_post(&l->server->auth_worker, login_slowly, l);
}

static void on_authenticate(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	if (!s->auth_on || !take_turn(s)) {
		call_fail(call, s->auth_on ? OUTCOME_TOO_MANY_REQUESTS : OUTCOME_AUTH_NOT_ENABLED);
		return;
	}
	struct login *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->server = s;
	l->call = call;
	arena_init(&l->arena);
	l->message = (void *)message_decode(&etcdserverpb__authenticate_request__descriptor,
	                                    message, &l->arena);
	if (l->message)
		node_read(s->node, login_start, l);
	else
		login_end(l, OUTCOME_BAD_MESSAGE);
}

/* --- questions --- */

enum question { ASK_STATUS, ASK_USER, ASK_USERS, ASK_ROLE, ASK_ROLES };

struct ask_call {
	struct server *server;
	struct rpc_call *call;
	enum question question;
	struct arena arena;
	const char *name;
};

static void out_permission(struct buf *b, const Authpb__Permission *p)
{
	size_t at = out_begin(b, 2);
	out_number(b, 1, p->permtype);
	out_bytes(b, 2, pb_slice(p->key));
	out_bytes(b, 3, pb_slice(p->range_end));
	out_end(b, at);
}

static int answer_user(const struct ask_call *c, const struct auth_view *v, struct buf *b)
{
	const struct auth_user *u = auth_find_user(v, slice_str(c->name));
	if (!u)
		return OUTCOME_USER_NOT_FOUND;
	for (size_t i = 0; i < u->stored->n_roles; i++)
		out_bytes_always(b, 2, slice_str(u->stored->roles[i]));
	return 0;
}

static int answer_role(const struct ask_call *c, const struct auth_view *v, struct buf *b)
{
	static const uint8_t zero;
	const Authpb__Role *role = auth_find_role(v, slice_str(c->name));
	if (!role)
		return OUTCOME_ROLE_NOT_FOUND;
	if (!strcmp(c->name, AUTH_ROOT)) {
		Authpb__Permission all = AUTHPB__PERMISSION__INIT;
		all.permtype = AUTHPB__PERMISSION__TYPE__READWRITE;
		all.range_end = (ProtobufCBinaryData){1, (uint8_t *)&zero};
		out_permission(b, &all);
		return 0;
	}
	for (size_t i = 0; i < role->n_keypermission; i++)
		out_permission(b, role->keypermission[i]);
	return 0;
}

static int answer(const struct ask_call *c, const struct auth_view *v, struct buf *b)
{
	const struct auth_user *users;
	const Authpb__Role *const *roles;
	switch (c->question) {
	case ASK_STATUS:
		out_bool(b, 2, auth_enabled(v));
		out_number(b, 3, (int64_t)auth_revision(v));
		return 0;
	case ASK_USER:
		return answer_user(c, v, b);
	case ASK_ROLE:
		return answer_role(c, v, b);
	case ASK_USERS:
		for (size_t n = auth_users(v, &users), i = 0; i < n; i++)
			out_bytes_always(b, 2, users[i].name);
		return 0;
	case ASK_ROLES:
		for (size_t n = auth_roles(v, &roles), i = 0; i < n; i++)
			out_bytes_always(b, 2, pb_slice(roles[i]->name));
		return 0;
	}
	return OUTCOME_BAD_MESSAGE;
}

/* All but the administrator may only ask for themselves and for the roles that they have. */
static int may_ask(const struct ask_call *c, const struct auth_view *v, const struct identity *who)
{
	int r = auth_check_admin(v, who);
	const struct auth_user *u = r ? auth_find_user(v, who->user) : NULL;
	if (u && c->question == ASK_USER && slice_eq_str(u->name, c->name))
		return 0;
	if (u && c->question == ASK_ROLE && auth_has_role(u, c->name))
		return 0;
	return r;
}

static void ask_answer(void *arg, int r)
{
	struct ask_call *c = arg;
	struct identity who = {0};
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_(auth_view_unref_p) struct auth_view *v = auth_now(c->server);
	if (!r)
		r = auth_identify(c->server, c->call, &c->arena, &who);
	if (!r)
		r = may_ask(c, v, &who);
	if (!r) {
		out_header(&b, c->server, c->server->revision);
		r = answer(c, v, &b);
	}
	if (r)
		call_fail(c->call, r);
	else
		rpc_call_reply(c->call, buf_view(&b));
	arena_deinit(&c->arena);
	free(c);
}

static struct ask_call *ask_new(struct server *s, struct rpc_call *call, enum question question)
{
	struct ask_call *c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	*c = (struct ask_call){.server = s, .call = call, .question = question};
	arena_init(&c->arena);
	return c;
}

static void ask(struct server *s, struct rpc_call *call, enum question question)
{
	node_read(s->node, ask_answer, ask_new(s, call, question));
}

static void on_status(struct rpc_call *call, struct slice message, void *arg)
{
	ask(arg, call, ASK_STATUS);
}

static void on_user_list(struct rpc_call *call, struct slice message, void *arg)
{
	ask(arg, call, ASK_USERS);
}

static void on_role_list(struct rpc_call *call, struct slice message, void *arg)
{
	ask(arg, call, ASK_ROLES);
}

static void on_user_get(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct ask_call *c = ask_new(s, call, ASK_USER);
	const Etcdserverpb__AuthUserGetRequest *q = (const void *)message_decode(
	    &etcdserverpb__auth_user_get_request__descriptor, message, &c->arena);
	c->name = q ? q->name : NULL;
	if (q)
		node_read(s->node, ask_answer, c);
	else
		ask_answer(c, OUTCOME_BAD_MESSAGE);
}

static void on_role_get(struct rpc_call *call, struct slice message, void *arg)
{
	struct server *s = arg;
	struct ask_call *c = ask_new(s, call, ASK_ROLE);
	const Etcdserverpb__AuthRoleGetRequest *q = (const void *)message_decode(
	    &etcdserverpb__auth_role_get_request__descriptor, message, &c->arena);
	c->name = q ? q->role : NULL;
	if (q)
		node_read(s->node, ask_answer, c);
	else
		ask_answer(c, OUTCOME_BAD_MESSAGE);
}

void auth_service_add(struct server *s)
{
	const struct rpc_method methods[] = {
	    {"/etcdserverpb.Auth/AuthEnable", RPC_UNARY, on_enable, s, NULL},
	    {"/etcdserverpb.Auth/AuthDisable", RPC_UNARY, on_disable, s, NULL},
	    {"/etcdserverpb.Auth/AuthStatus", RPC_UNARY, on_status, s, NULL},
	    {"/etcdserverpb.Auth/Authenticate", RPC_UNARY, on_authenticate, s, NULL},
	    {"/etcdserverpb.Auth/UserAdd", RPC_UNARY, on_user_add, s, NULL},
	    {"/etcdserverpb.Auth/UserGet", RPC_UNARY, on_user_get, s, NULL},
	    {"/etcdserverpb.Auth/UserList", RPC_UNARY, on_user_list, s, NULL},
	    {"/etcdserverpb.Auth/UserDelete", RPC_UNARY, on_user_delete, s, NULL},
	    {"/etcdserverpb.Auth/UserChangePassword", RPC_UNARY, on_user_change_password, s, NULL},
	    {"/etcdserverpb.Auth/UserGrantRole", RPC_UNARY, on_user_grant, s, NULL},
	    {"/etcdserverpb.Auth/UserRevokeRole", RPC_UNARY, on_user_revoke, s, NULL},
	    {"/etcdserverpb.Auth/RoleAdd", RPC_UNARY, on_role_add, s, NULL},
	    {"/etcdserverpb.Auth/RoleGet", RPC_UNARY, on_role_get, s, NULL},
	    {"/etcdserverpb.Auth/RoleList", RPC_UNARY, on_role_list, s, NULL},
	    {"/etcdserverpb.Auth/RoleDelete", RPC_UNARY, on_role_delete, s, NULL},
	    {"/etcdserverpb.Auth/RoleGrantPermission", RPC_UNARY, on_role_grant, s, NULL},
	    {"/etcdserverpb.Auth/RoleRevokePermission", RPC_UNARY, on_role_revoke, s, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		service_add(s, &methods[i]);
}
