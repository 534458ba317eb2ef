/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/tls_creds.h"

#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_security.h>
#include <grpc/support/string_util.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/vec.h"

/* Certificates and bundles are small; a bigger file is a mistake. */
enum { PEM_LIMIT_BYTES = 4 << 20 };

static int read_pem(char **ret, const char *pem, const char *file, struct err *err)
{
	if (pem) {
		*ret = strdup(pem);
		return 0;
	}
	if (!file || !*file)
		return 0;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_IO, "open %s: %s", file, strerror(errno));
	_cleanup_buf_ struct buf b = BUF_INIT;
	ssize_t n;
	do {
		buf_reserve(&b, 16384);
		n = read(fd, b.data + b.len, 16384);
		b.len += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && b.len <= PEM_LIMIT_BYTES) || (n < 0 && errno == EINTR));
	int failed = n < 0 ? errno : 0;
	close(fd);
	if (failed || b.len > PEM_LIMIT_BYTES)
		return err_set(err, ERR_IO, "read %s: %s", file,
		               failed ? strerror(failed) : "file too large");
	buf_byte(&b, 0);
	*ret = buf_steal_str(&b);
	return 0;
}

/* Does the certificate parse, and is the key its own? */
static int check_pair(const struct tls_pem *pem, struct err *err)
{
	if (!pem->cert != !pem->key)
		return err_set(err, ERR_INVALID, "a certificate and its key go together");
	if (!pem->cert)
		return 0;
	BIO *cert_bio = BIO_new_mem_buf(pem->cert, -1), *key_bio = BIO_new_mem_buf(pem->key, -1);
	X509 *cert = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, (void *)(uintptr_t) "");
	int r = 0;
	if (!cert)
		r = err_set(err, ERR_INVALID, "the certificate is not PEM");
	else if (!key)
		r = err_set(err, ERR_INVALID, "the private key is not PEM");
	else if (X509_check_private_key(cert, key) != 1)
		r = err_set(err, ERR_INVALID, "the private key is not that of the certificate");
	X509_free(cert);
	EVP_PKEY_free(key);
	BIO_free(cert_bio);
	BIO_free(key_bio);
	return r;
}

static int check_ca(const char *ca, struct err *err)
{
	if (!ca)
		return 0;
	BIO *bio = BIO_new_mem_buf(ca, -1);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (!cert)
		return err_set(err, ERR_INVALID, "the CA bundle has no PEM certificate");
	X509_free(cert);
	return 0;
}

int tls_pem_load(struct tls_pem *pem, const struct tls_creds_options *o, struct err *err)
{
	struct tls_pem fresh = {0};
	int r = read_pem(&fresh.ca, o->ca_pem, o->ca_file, err);
	if (!r)
		r = read_pem(&fresh.cert, o->cert_pem, o->cert_file, err);
	if (!r)
		r = read_pem(&fresh.key, o->key_pem, o->key_file, err);
	if (!r)
		r = check_ca(fresh.ca, err);
	if (!r)
		r = check_pair(&fresh, err);
	if (r)
		tls_pem_deinit(&fresh);
	else
		*pem = fresh;
	return r;
}

void tls_pem_deinit(struct tls_pem *pem)
{
	free(pem->ca);
	free(pem->cert);
	if (pem->key)
		explicit_bzero(pem->key, strlen(pem->key));
	free(pem->key);
	*pem = (struct tls_pem){0};
}

/* --- servers --- */

struct file_stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct tls_server_state {
	struct tls_creds_options options; /* strings owned */
	pthread_mutex_t lock;
	struct file_stamp stamps[3];
	uint64_t looked_ms;
	struct tls_pem pem;
	bool given; /* gRPC has been given pem */
};

static struct file_stamp stamp_of(const char *file)
{
	struct stat st;
	if (!file || stat(file, &st))
		return (struct file_stamp){0};
	return (struct file_stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool stamps_take(struct tls_server_state *s)
{
	const char *files[] = {s->options.ca_file, s->options.cert_file, s->options.key_file};
	struct file_stamp now[3] = {0};
	for (size_t i = 0; i < ARRAY_LEN(now); i++)
		now[i] = stamp_of(files[i]);
	bool changed = memcmp(now, s->stamps, sizeof now) != 0;
	memcpy(s->stamps, now, sizeof now);
	return changed;
}

static grpc_ssl_server_certificate_config *config_of(const struct tls_pem *pem)
{
	grpc_ssl_pem_key_cert_pair pair = {pem->key, pem->cert};
	/* gRPC aborts without roots, also when no client is asked for a certificate. */
	const char *roots = pem->ca ? pem->ca : pem->cert;
	return grpc_ssl_server_certificate_config_create(roots, &pair, 1);
}

/* gRPC asks at the start and before each handshake. */
static grpc_ssl_certificate_config_reload_status
on_config_wanted(void *arg, grpc_ssl_server_certificate_config **ret)
{
	struct tls_server_state *s = arg;
	pthread_mutex_lock(&s->lock);
	uint64_t now = clock_mono_ms();
	if (s->given && now - s->looked_ms >= 1000) {
		s->looked_ms = now;
		struct tls_pem fresh;
		if (stamps_take(s) && tls_pem_load(&fresh, &s->options, NULL) == 0) {
			tls_pem_deinit(&s->pem);
			s->pem = fresh;
			s->given = false;
		}
	}
	bool give = !s->given;
	if (give)
		*ret = config_of(&s->pem);
	s->given = true;
	pthread_mutex_unlock(&s->lock);
	return give ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW
	            : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

static const char *dup_or_null(const char *s)
{
	return s ? strdup(s) : NULL;
}

static struct tls_creds_options options_dup(const struct tls_creds_options *o)
{
	struct tls_creds_options d = *o;
	d.ca_file = dup_or_null(o->ca_file);
	d.cert_file = dup_or_null(o->cert_file);
	d.key_file = dup_or_null(o->key_file);
	d.ca_pem = dup_or_null(o->ca_pem);
	d.cert_pem = dup_or_null(o->cert_pem);
	d.key_pem = dup_or_null(o->key_pem);
	d.server_name = dup_or_null(o->server_name);
	return d;
}

static void options_deinit(struct tls_creds_options *o)
{
	const char *all[] = {o->ca_file,  o->cert_file, o->key_file,   o->ca_pem,
	                     o->cert_pem, o->key_pem,   o->server_name};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		free((void *)(uintptr_t)all[i]);
}

int tls_server_creds_new(const struct tls_creds_options *o, grpc_server_credentials **ret,
                         struct tls_server_state **ret_state, struct err *err)
{
	static const grpc_ssl_client_certificate_request_type modes[] = {
	    [TLS_CLIENT_NONE] = GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
	    [TLS_CLIENT_OPTIONAL] = GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY,
	    [TLS_CLIENT_REQUIRED] = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY,
	};
	struct tls_pem pem;
	int r = tls_pem_load(&pem, o, err);
	if (r)
		return r;
	if (!pem.cert || (o->client_auth != TLS_CLIENT_NONE && !pem.ca)) {
		bool no_cert = !pem.cert;
		tls_pem_deinit(&pem);
		return err_set(err, ERR_INVALID,
		               no_cert ? "a TLS server needs a certificate and a key"
		                       : "client certificates cannot be checked without a CA");
	}
	struct tls_server_state *s = calloc(1, sizeof *s);
	if (!s)
		abort();
	s->options = options_dup(o);
	s->pem = pem;
	pthread_mutex_init(&s->lock, NULL);
	(void)stamps_take(s); /* the first look has nothing to compare with */
	*ret = grpc_ssl_server_credentials_create_with_options(
	    grpc_ssl_server_credentials_create_options_using_config_fetcher(modes[o->client_auth],
	                                                                    on_config_wanted, s));
	*ret_state = s;
	return 0;
}

void tls_server_state_free(struct tls_server_state *s)
{
	if (!s)
		return;
	options_deinit(&s->options);
	tls_pem_deinit(&s->pem);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- clients --- */

/* Checks the server's names against the hosts of all endpoints: gRPC itself would check each
 * endpoint of a list against the first one. */
struct host_check {
	grpc_tls_certificate_verifier_external verifier;
	VEC(char *) hosts;
};

static bool cert_has_host(X509 *cert, const char *host)
{
	return X509_check_ip_asc(cert, host, 0) == 1 ||
	       X509_check_host(cert, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}

static int on_verify(void *arg, grpc_tls_custom_verification_check_request *request,
                     grpc_tls_on_custom_verification_check_done_cb callback, void *callback_arg,
                     grpc_status_code *status, char **details)
{
	struct host_check *h = arg;
	const char *pem = request->peer_info.peer_cert;
	BIO *bio = pem ? BIO_new_mem_buf(pem, -1) : NULL;
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	bool fits = false;
	VEC_FOREACH (&h->hosts, host)
		fits |= cert && cert_has_host(cert, *host);
	X509_free(cert);
	BIO_free(bio);
	*status = fits ? GRPC_STATUS_OK : GRPC_STATUS_UNAUTHENTICATED;
	*details = fits ? NULL : gpr_strdup("the server's certificate is not for this host");
	return 1;
}

static void on_verify_cancel(void *arg, grpc_tls_custom_verification_check_request *request)
{
}

static void on_verify_destruct(void *arg)
{
	struct host_check *h = arg;
	VEC_FOREACH (&h->hosts, host)
		free(*host);
	vec_deinit(&h->hosts);
	free(h);
}

static grpc_tls_certificate_verifier *host_verifier(const char *server_name,
                                                    const char *const *hosts)
{
	struct host_check *h = calloc(1, sizeof *h);
	if (!h)
		abort();
	h->verifier = (grpc_tls_certificate_verifier_external){h, on_verify, on_verify_cancel,
	                                                       on_verify_destruct};
	if (server_name && *server_name)
		*vec_push(&h->hosts) = strdup(server_name);
	else
		for (; *hosts; hosts++)
			*vec_push(&h->hosts) = strdup(*hosts);
	return grpc_tls_certificate_verifier_external_create(&h->verifier);
}

int tls_channel_creds_new(const struct tls_creds_options *o, const char *const *hosts,
                          grpc_channel_credentials **ret, struct err *err)
{
	struct tls_pem pem;
	int r = tls_pem_load(&pem, o, err);
	if (r)
		return r;
	grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
	grpc_tls_identity_pairs *pairs = NULL;
	if (pem.cert) {
		pairs = grpc_tls_identity_pairs_create();
		grpc_tls_identity_pairs_add_pair(pairs, pem.key, pem.cert);
	}
	if (pem.ca || pairs) {
		grpc_tls_certificate_provider *provider =
		    grpc_tls_certificate_provider_static_data_create(pem.ca, pairs);
		grpc_tls_credentials_options_set_certificate_provider(options, provider);
		grpc_tls_certificate_provider_release(provider);
	}
	if (pem.ca && !o->insecure_skip_verify)
		grpc_tls_credentials_options_watch_root_certs(options);
	if (pairs)
		grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
	grpc_tls_certificate_verifier *verifier = o->insecure_skip_verify
	                                              ? grpc_tls_certificate_verifier_no_op_create()
	                                              : host_verifier(o->server_name, hosts);
	grpc_tls_credentials_options_set_verify_server_cert(options, !o->insecure_skip_verify);
	grpc_tls_credentials_options_set_check_call_host(options, 0);
	grpc_tls_credentials_options_set_certificate_verifier(options, verifier);
	grpc_tls_certificate_verifier_release(verifier);
	*ret = grpc_tls_credentials_create(options);
	tls_pem_deinit(&pem);
	return 0;
}
