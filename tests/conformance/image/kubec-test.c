/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of a cluster run in containers:
 *
 *   kubec-test netexec PORT [UDP_PORT]   HTTP: /hostname, /clientip, /healthz, /echo?msg=TEXT,
 * /dial?..., /status/CODE, /count; UDP: answers "hostname" or "clientip", echoes the rest of "echo
 * TEXT" kubec-test liveness PORT SECONDS     /healthz is 200 for so many seconds, then 500
 *   kubec-test get http|udp IP PORT REQUEST [TRIES]   asks that server and prints the answers, a
 * line each; 1 when one was empty kubec-test args ...                  prints how it was called,
 * one argument a line kubec-test grpc PORT                 grpc.health.v1.Health: serving, whatever
 * is asked
 *
 * /dial?host=H&port=P&protocol=http|udp&request=R&tries=N asks another one N times and answers with
 * one line an answer.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { REQUEST_BYTES = 8192, ANSWER_BYTES = 16384 };

static time_t started;
static int healthy_seconds;
static unsigned requests;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_on(int type, int port)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	int on = 1;
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || (type == SOCK_STREAM && listen(fd, 128)))
		die("listen");
	return fd;
}

static void hostname_into(char *out, size_t size)
{
	if (gethostname(out, size))
		snprintf(out, size, "unknown");
	out[size - 1] = 0;
}

static void address_into(const struct sockaddr_in *a, char *out, size_t size)
{
	char ip[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &a->sin_addr, ip, sizeof(ip));
	snprintf(out, size, "%s:%d", ip, ntohs(a->sin_port));
}

/* Copies the value of a query's key into out, decoded; "" when it is not there. */
static void query_value(const char *query, const char *key, char *out, size_t size)
{
	size_t n = 0, length = strlen(key);

	out[0] = 0;
	while (query && *query) {
		if (!strncmp(query, key, length) && query[length] == '=') {
			for (query += length + 1; *query && *query != '&' && n + 1 < size;
			     query++) {
				unsigned c = (unsigned char)*query;
				if (c == '%' && sscanf(query + 1, "%2x", &c) == 1)
					query += 2;
				out[n++] = (char)(c == '+' ? ' ' : c);
			}
			out[n] = 0;
			return;
		}
		query = strchr(query, '&');
		query = query ? query + 1 : NULL;
	}
}

/* One exchange with another server; the answer without HTTP's head, or "" when none came within two
 * seconds. */
static void ask(const struct sockaddr_in *to, bool udp, const char *request, char *out, size_t size)
{
	char text[REQUEST_BYTES], *body;
	struct timeval limit = {.tv_sec = 2};
	size_t n = 0;
	ssize_t got;
	int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	out[0] = 0;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (udp)
		snprintf(text, sizeof(text), "%s", request);
	else
		snprintf(text, sizeof(text), "GET /%s HTTP/1.0\r\n\r\n", request);
	if (!connect(fd, (const struct sockaddr *)to, sizeof(*to)) &&
	    send(fd, text, strlen(text), MSG_NOSIGNAL) > 0) {
		while (n + 1 < size && (got = recv(fd, out + n, size - 1 - n, 0)) > 0) {
			n += (size_t)got;
			if (udp)
				break;
		}
		out[n] = 0;
		body = udp ? NULL : strstr(out, "\r\n\r\n");
		if (body)
			memmove(out, body + 4, strlen(body + 4) + 1);
	}
	close(fd);
}

/* Asks from the command line. */
static int get(char **argv, long tries)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	char answer[ANSWER_BYTES];
	int failed = 0;

	to.sin_port = htons((uint16_t)strtol(argv[2], NULL, 10));
	if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	while (tries-- > 0) {
		ask(&to, !strcmp(argv[0], "udp"), argv[3], answer, sizeof(answer));
		puts(answer);
		failed |= !*answer;
	}
	return failed;
}

static void dial(const char *query, char *out, size_t size)
{
	char host[256], port[16], protocol[16], request[1024], tries[16], answer[1024];
	struct sockaddr_in to = {.sin_family = AF_INET};
	size_t n = 0;

	query_value(query, "host", host, sizeof(host));
	query_value(query, "port", port, sizeof(port));
	query_value(query, "protocol", protocol, sizeof(protocol));
	query_value(query, "request", request, sizeof(request));
	query_value(query, "tries", tries, sizeof(tries));
	out[0] = 0;
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		return;
	to.sin_port = htons((uint16_t)strtol(port, NULL, 10));
	for (long i = 0, count = tries[0] ? strtol(tries, NULL, 10) : 1;
	     i < count && n + sizeof(answer) + 2 < size; i++) {
		ask(&to, !strcmp(protocol, "udp"), request, answer, sizeof(answer));
		n += (size_t)snprintf(out + n, size - n, "%s\n", answer);
	}
}

/* The status code of a request; the answer's body in out. */
static int respond(char *path, const struct sockaddr_in *from, char *out, size_t size)
{
	char *query = strchr(path, '?');
	int code;

	__atomic_add_fetch(&requests, 1, __ATOMIC_RELAXED);
	if (query)
		*query++ = 0;
	out[0] = 0;
	if (!strcmp(path, "/healthz") && healthy_seconds && time(NULL) - started >= healthy_seconds)
		return 500;
	if (!strcmp(path, "/healthz"))
		snprintf(out, size, "ok");
	else if (!strcmp(path, "/hostname") || !strcmp(path, "/"))
		hostname_into(out, size);
	else if (!strcmp(path, "/clientip"))
		address_into(from, out, size);
	else if (!strcmp(path, "/echo"))
		query_value(query, "msg", out, size);
	else if (!strcmp(path, "/dial"))
		dial(query, out, size);
	else if (!strcmp(path, "/count"))
		snprintf(out, size, "%u", __atomic_load_n(&requests, __ATOMIC_RELAXED));
	else if (sscanf(path, "/status/%d", &code) == 1 && code >= 200 && code < 600)
		return code;
	else
		return 404;
	return 200;
}

struct caller {
	int fd;
	struct sockaddr_in from;
};

static void *serve_http(void *arg)
{
	struct caller *c = arg;
	char request[REQUEST_BYTES], body[ANSWER_BYTES], head[256], method[16], path[4096];
	struct timeval limit = {.tv_sec = 10};
	size_t n = 0;
	ssize_t got;
	int code = 400;

	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	request[0] = body[0] = 0;
	while (n + 1 < sizeof(request) &&
	       (got = recv(c->fd, request + n, sizeof(request) - 1 - n, 0)) > 0) {
		n += (size_t)got;
		request[n] = 0;
		if (strstr(request, "\r\n\r\n"))
			break;
	}
	if (n == 0)
		goto out;
	if (sscanf(request, "%15s %4095s", method, path) == 2) {
		if (strcmp(path, "/healthz"))
			printf("%s %s\n", method, path);
		code = respond(path, &c->from, body, sizeof(body));
	}
	/* Whoever proxies to us may tell by this header that the method has come through. */
	n = (size_t)snprintf(head, sizeof(head),
	                     "HTTP/1.1 %d Answer\r\nContent-Type: text/plain\r\nContent-Length: "
	                     "%zu\r\nX-Method: %s\r\nConnection: close\r\n\r\n",
	                     code, strlen(body), method);
	if (send(c->fd, head, n, MSG_NOSIGNAL) == (ssize_t)n && strcmp(method, "HEAD"))
		send(c->fd, body, strlen(body), MSG_NOSIGNAL);
out:
	close(c->fd);
	free(c);
	return NULL;
}

/* Accepts forever; every connection has a thread. */
static void accept_all(int fd, void *(*serve)(void *))
{
	pthread_attr_t detached;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (;;) {
		struct caller *c = calloc(1, sizeof(*c));
		socklen_t length = sizeof(c->from);
		pthread_t thread;

		c->fd = accept4(fd, (struct sockaddr *)&c->from, &length, SOCK_CLOEXEC);
		if (c->fd < 0 || pthread_create(&thread, &detached, serve, c)) {
			if (c->fd >= 0)
				close(c->fd);
			free(c);
		}
	}
}

static void *serve_udp(void *arg)
{
	int fd = *(int *)arg;
	char text[REQUEST_BYTES], answer[REQUEST_BYTES];

	for (;;) {
		struct sockaddr_in from;
		socklen_t length = sizeof(from);
		ssize_t n =
		    recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&from, &length);

		if (n < 0)
			continue;
		text[n] = 0;
		text[strcspn(text, "\r\n")] = 0;
		if (!strcasecmp(text, "hostname"))
			hostname_into(answer, sizeof(answer));
		else if (!strcasecmp(text, "clientip"))
			address_into(&from, answer, sizeof(answer));
		else if (!strncasecmp(text, "echo ", 5))
			snprintf(answer, sizeof(answer), "%s", text + 5);
		else
			continue;
		sendto(fd, answer, strlen(answer), 0, (struct sockaddr *)&from, length);
	}
	return NULL;
}

/* HTTP/2, as far as one unary call whose answer is always the same needs it. */

static bool read_all(int fd, unsigned char *out, size_t n)
{
	while (n) {
		ssize_t got = recv(fd, out, n, 0);
		if (got <= 0)
			return false;
		out += got;
		n -= (size_t)got;
	}
	return true;
}

static void frame(int fd, int type, int flags, uint32_t stream, const void *payload, size_t n)
{
	unsigned char out[256] = {0,
	                          (unsigned char)(n >> 8),
	                          (unsigned char)n,
	                          (unsigned char)type,
	                          (unsigned char)flags,
	                          (unsigned char)(stream >> 24),
	                          (unsigned char)(stream >> 16),
	                          (unsigned char)(stream >> 8),
	                          (unsigned char)stream};

	memcpy(out + 9, payload, n);
	send(fd, out, 9 + n, MSG_NOSIGNAL);
}

static void *serve_grpc(void *arg)
{
	enum { DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, END_STREAM = 1, END_HEADERS = 4 };
	/* :status 200 is entry 8 of the static table, the others are literals that are not kept. */
	static const char head[] = "\x88\x00\x0c"
	                           "content-type\x10"
	                           "application/grpc";
	static const char trailer[] = "\x00\x0bgrpc-status\x01"
	                              "0";
	static const char serving[] = "\x00\x00\x00\x00\x02\x08\x01";
	struct caller *c = arg;
	unsigned char preface[24], h[9], payload[16384];

	if (!read_all(c->fd, preface, sizeof(preface)))
		goto out;
	frame(c->fd, SETTINGS, 0, 0, "", 0);
	while (read_all(c->fd, h, sizeof(h))) {
		size_t n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
		uint32_t stream =
		    (uint32_t)h[5] << 24 | (uint32_t)h[6] << 16 | (uint32_t)h[7] << 8 | h[8];

		if (n > sizeof(payload) || !read_all(c->fd, payload, n))
			break;
		if (h[3] == SETTINGS && !(h[4] & 1))
			frame(c->fd, SETTINGS, 1, 0, "", 0);
		if (h[3] == PING && !(h[4] & 1))
			frame(c->fd, PING, 1, 0, payload, 8);
		if ((h[3] == DATA || h[3] == HEADERS) && (h[4] & END_STREAM)) {
			frame(c->fd, HEADERS, END_HEADERS, stream, head, sizeof(head) - 1);
			frame(c->fd, DATA, 0, stream, serving, sizeof(serving) - 1);
			frame(c->fd, HEADERS, END_HEADERS | END_STREAM, stream, trailer,
			      sizeof(trailer) - 1);
		}
	}
out:
	close(c->fd);
	free(c);
	return NULL;
}

static void on_term(int number)
{
	_exit(number == SIGTERM ? 0 : 1);
}

int main(int argc, char **argv)
{
	static int udp;
	const char *mode = argc > 2 ? argv[1] : "";
	int port = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
	pthread_t thread;

	if (argc > 1 && !strcmp(argv[1], "args")) {
		for (int i = 0; i < argc; i++)
			puts(argv[i]);
		return 0;
	}
	if (argc >= 6 && !strcmp(argv[1], "get"))
		return get(argv + 2, argc > 6 ? strtol(argv[6], NULL, 10) : 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, on_term);
	signal(SIGPIPE, SIG_IGN);
	started = time(NULL);
	while (argc == 2 && !strcmp(argv[1], "pause"))
		pause();
	if (!strcmp(mode, "liveness") && argc == 4) {
		healthy_seconds = (int)strtol(argv[3], NULL, 10);
		accept_all(listen_on(SOCK_STREAM, port), serve_http);
	}
	if (!strcmp(mode, "netexec") && argc <= 4) {
		if (argc == 4) {
			udp = listen_on(SOCK_DGRAM, (int)strtol(argv[3], NULL, 10));
			if (pthread_create(&thread, NULL, serve_udp, &udp))
				die("pthread_create");
		}
		accept_all(listen_on(SOCK_STREAM, port), serve_http);
	}
	if (!strcmp(mode, "grpc"))
		accept_all(listen_on(SOCK_STREAM, port), serve_grpc);
	fputs("usage: kubec-test args ... | netexec PORT [UDP_PORT] | liveness PORT SECONDS | grpc "
	      "PORT\n",
	      stderr);
	return 2;
}
