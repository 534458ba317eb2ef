/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/http_internal.h"

int http_tunnel_write(struct http_tunnel *t, struct slice data)
{
	return t->connection ? t->ops->write(t->connection, data) : 0;
}

void http_tunnel_pause(struct http_tunnel *t, bool pause)
{
	if (t->connection)
		t->ops->pause(t->connection, pause);
}

void http_tunnel_close(struct http_tunnel *t)
{
	void *connection = TAKE(t->connection);

	if (connection)
		t->ops->close(connection);
}
