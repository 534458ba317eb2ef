/* SPDX-License-Identifier: Apache-2.0 */
#include "apiserver/options.h"
#include "common/base/log.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct apiserver_options apiserver_options = {
    .etcd_ca_file = "",
    .etcd_cert_file = "",
    .etcd_key_file = "",
    .etcd_prefix = "/registry",
    .bind_address = "0.0.0.0",
    .advertise_address = "",
    .external_hostname = "",
    .secure_port = 6443,
    .grpc_port = -1,
    .tls_cert_file = "",
    .tls_key_file = "",
    .cert_dir = "/var/run/kubernetes",
    .tls_min_version = "",
    .max_inflight = 400,
    .max_mutating_inflight = 200,
    .http2_max_streams = 0,
    .client_ca_file = "",
    .anonymous_auth = true,
    .sa_signing_key_file = "",
    .sa_jwks_uri = "",
    .sa_extend_expiration = true,
    .proxy_ca_file = "",
    .proxy_client_cert_file = "",
    .proxy_client_key_file = "",
    .service_range = "",
    .node_port_range = "30000-32767",
    .event_ttl_ms = 3600 * 1000,
    .kubelet_ca_file = "",
    .kubelet_cert_file = "",
    .kubelet_key_file = "",
    .kubelet_timeout_ms = 5000,
};

#define O apiserver_options

static struct flag store_flags[] = {
    FLAG_LIST("etcd-servers", &O.etcd_servers, "Endpoints of the store (scheme://host:port)."),
    FLAG_STR("etcd-cafile", &O.etcd_ca_file, "The CA that signed the store's certificates."),
    FLAG_STR("etcd-certfile", &O.etcd_cert_file, "The certificate shown to the store."),
    FLAG_STR("etcd-keyfile", &O.etcd_key_file, "The key of --etcd-certfile."),
    FLAG_STR("etcd-prefix", &O.etcd_prefix, "What all keys in the store begin with."),
    FLAG_NO_EFFECT("etcd-servers-overrides"),
    FLAG_NO_EFFECT("etcd-compaction-interval"),
    FLAG_NO_EFFECT("etcd-count-metric-poll-period"),
    FLAG_NO_EFFECT("etcd-db-metric-poll-interval"),
    FLAG_NO_EFFECT("etcd-healthcheck-timeout"),
    FLAG_NO_EFFECT("etcd-readycheck-timeout"),
    FLAG_NO_EFFECT("storage-backend"),
    FLAG_NO_EFFECT("storage-media-type"),
    FLAG_NO_EFFECT("watch-cache"),
    FLAG_NO_EFFECT("watch-cache-sizes"),
    FLAG_NO_EFFECT("default-watch-cache-size"),
    FLAG_NO_EFFECT("delete-collection-workers"),
    FLAG_NO_EFFECT("enable-garbage-collector"),
};

static struct flag serving_flags[] = {
    FLAG_STR("bind-address", &O.bind_address, "The address to listen on."),
    FLAG_INT("secure-port", &O.secure_port, "The port of HTTPS."),
    FLAG_INT("grpc-port", &O.grpc_port,
             "The port of the components' gRPC API; -1 is --secure-port + 1, 0 is none."),
    FLAG_STR("advertise-address", &O.advertise_address,
             "The address on which the members of the cluster reach this server."),
    FLAG_STR("external-hostname", &O.external_hostname,
             "The host name for URLs that clients are given."),
    FLAG_STR("tls-cert-file", &O.tls_cert_file,
             "The serving certificate; without it one is made in --cert-dir."),
    FLAG_STR("tls-private-key-file", &O.tls_key_file, "The key of --tls-cert-file."),
    FLAG_STR("cert-dir", &O.cert_dir, "Where a serving certificate of our own is kept."),
    FLAG_STR("tls-min-version", &O.tls_min_version, "VersionTLS12 (default) or VersionTLS13."),
    FLAG_LIST("tls-cipher-suites", &O.tls_cipher_suites, "Cipher suites for TLS 1.2."),
    FLAG_INT("max-requests-inflight", &O.max_inflight,
             "Reading requests that are served at once; 0 is no limit."),
    FLAG_INT("max-mutating-requests-inflight", &O.max_mutating_inflight,
             "Writing requests that are served at once; 0 is no limit."),
    FLAG_INT("http2-max-streams-per-connection", &O.http2_max_streams,
             "Requests of one connection at once; 0 is 250."),
    FLAG_INT("front-loops", &O.front_loops,
             "Threads that serve connections; 0 is one for two processors."),
    FLAG_NO_EFFECT("permit-address-sharing"),
    FLAG_NO_EFFECT("permit-port-sharing"),
    FLAG_NO_EFFECT("tls-sni-cert-key"),
    FLAG_NO_EFFECT("cors-allowed-origins"),
    FLAG_NO_EFFECT("goaway-chance"),
    FLAG_NO_EFFECT("livez-grace-period"),
    FLAG_NO_EFFECT("min-request-timeout"),
    FLAG_NO_EFFECT("request-timeout"),
    FLAG_NO_EFFECT("shutdown-delay-duration"),
    FLAG_NO_EFFECT("shutdown-send-retry-after"),
    FLAG_NO_EFFECT("shutdown-watch-termination-grace-period"),
    FLAG_NO_EFFECT("enable-priority-and-fairness"),
    FLAG_NO_EFFECT("profiling"),
    FLAG_NO_EFFECT("contention-profiling"),
    FLAG_NO_EFFECT("strict-transport-security-directives"),
    FLAG_NO_EFFECT("enable-logs-handler"),
    FLAG_NO_EFFECT("egress-selector-config-file"),
    FLAG_NO_EFFECT("tracing-config-file"),
};

static struct flag authentication_flags[] = {
    FLAG_STR("client-ca-file", &O.client_ca_file, "Who may sign client certificates."),
    FLAG_BOOL("anonymous-auth", &O.anonymous_auth,
              "Requests without credentials are of the user system:anonymous."),
    FLAG_LIST("service-account-issuer", &O.sa_issuers,
              "Who issues tokens; the first signs, all are accepted."),
    FLAG_ARRAY("service-account-key-file", &O.sa_key_files,
               "Keys that verify tokens; by default that of the signing key."),
    FLAG_STR("service-account-signing-key-file", &O.sa_signing_key_file,
             "The key that signs tokens."),
    FLAG_LIST("api-audiences", &O.api_audiences,
              "Audiences of tokens for this API; by default the issuers."),
    FLAG_STR("service-account-jwks-uri", &O.sa_jwks_uri, "Where others find the keys."),
    FLAG_DURATION("service-account-max-token-expiration", &O.sa_max_expiration_ms,
                  "The longest time that a token is issued for; 0 is no limit."),
    FLAG_BOOL("service-account-extend-token-expiration", &O.sa_extend_expiration,
              "Tokens of pods live for a year, and are renewed every hour."),
    FLAG_STR("requestheader-client-ca-file", &O.proxy_ca_file,
             "Who may sign the certificates of front proxies."),
    FLAG_LIST("requestheader-allowed-names", &O.proxy_allowed_names,
              "Common names of front proxies; none is any."),
    FLAG_STR("proxy-client-cert-file", &O.proxy_client_cert_file,
             "The certificate shown to aggregated servers."),
    FLAG_STR("proxy-client-key-file", &O.proxy_client_key_file,
             "The key of --proxy-client-cert-file."),
    FLAG_NO_EFFECT("requestheader-username-headers"),
    FLAG_NO_EFFECT("requestheader-group-headers"),
    FLAG_NO_EFFECT("requestheader-extra-headers-prefix"),
    FLAG_NO_EFFECT("requestheader-uid-headers"),
    FLAG_NO_EFFECT("enable-bootstrap-token-auth"),
    FLAG_NO_EFFECT("enable-aggregator-routing"),
    FLAG_NO_EFFECT("service-account-lookup"),
    FLAG_NO_EFFECT("authentication-config"),
    FLAG_NO_EFFECT("authentication-token-webhook-config-file"),
    FLAG_NO_EFFECT("authentication-token-webhook-cache-ttl"),
    FLAG_NO_EFFECT("authentication-token-webhook-version"),
    FLAG_NO_EFFECT("token-auth-file"),
    FLAG_NO_EFFECT("oidc-ca-file"),
    FLAG_NO_EFFECT("oidc-client-id"),
    FLAG_NO_EFFECT("oidc-groups-claim"),
    FLAG_NO_EFFECT("oidc-groups-prefix"),
    FLAG_NO_EFFECT("oidc-issuer-url"),
    FLAG_NO_EFFECT("oidc-username-claim"),
    FLAG_NO_EFFECT("oidc-username-prefix"),
};

static struct flag authorization_flags[] = {
    FLAG_LIST("authorization-mode", &O.authorization_modes,
              "Authorizers in their order: Node, RBAC, AlwaysAllow, AlwaysDeny."),
    FLAG_LIST("enable-admission-plugins", &O.admission_enable,
              "Admission plugins besides the default ones."),
    FLAG_LIST("disable-admission-plugins", &O.admission_disable, "Admission plugins to leave out."),
    FLAG_STR("admission-control-config-file", &O.admission_config_file,
                "File with an AdmissionConfiguration: of EventRateLimit."),
    FLAG_NO_EFFECT("authorization-config"),
    FLAG_NO_EFFECT("authorization-policy-file"),
    FLAG_NO_EFFECT("authorization-webhook-config-file"),
    FLAG_NO_EFFECT("authorization-webhook-cache-authorized-ttl"),
    FLAG_NO_EFFECT("authorization-webhook-cache-unauthorized-ttl"),
    FLAG_NO_EFFECT("audit-policy-file"),
    FLAG_NO_EFFECT("audit-log-path"),
    FLAG_NO_EFFECT("audit-log-maxage"),
    FLAG_NO_EFFECT("audit-log-maxbackup"),
    FLAG_NO_EFFECT("audit-log-maxsize"),
    FLAG_NO_EFFECT("audit-log-format"),
    FLAG_NO_EFFECT("audit-webhook-config-file"),
    FLAG_NO_EFFECT("encryption-provider-config"),
    FLAG_NO_EFFECT("encryption-provider-config-automatic-reload"),
};

static struct flag api_flags[] = {
    FLAG_STR("service-cluster-ip-range", &O.service_range,
             "Where cluster IPs are taken from: one or two CIDRs."),
    FLAG_STR("service-node-port-range", &O.node_port_range, "Where node ports are taken from."),
    FLAG_BOOL("allow-privileged", &O.allow_privileged, "Containers may be privileged."),
    FLAG_DURATION("event-ttl", &O.event_ttl_ms, "How long events are kept."),
    FLAG_GATES("feature-gates", &O.feature_gates, "Features to turn on or off."),
    FLAG_MAP("runtime-config", &O.runtime_config, "API versions to turn on or off."),
    FLAG_NO_EFFECT("endpoint-reconciler-type"),
    FLAG_NO_EFFECT("apiserver-count"),
    FLAG_NO_EFFECT("kubernetes-service-node-port"),
    FLAG_NO_EFFECT("emulated-version"),
    FLAG_NO_EFFECT("emulation-forward-compatible"),
    FLAG_NO_EFFECT("min-compatibility-version"),
    FLAG_NO_EFFECT("runtime-config-emulation-forward-compatible"),
    FLAG_NO_EFFECT("peer-advertise-ip"),
    FLAG_NO_EFFECT("peer-advertise-port"),
    FLAG_NO_EFFECT("peer-ca-file"),
};

static struct flag kubelet_flags[] = {
    FLAG_STR("kubelet-certificate-authority", &O.kubelet_ca_file,
             "Who signed the kubelets' serving certificates."),
    FLAG_STR("kubelet-client-certificate", &O.kubelet_cert_file,
             "The certificate shown to kubelets."),
    FLAG_STR("kubelet-client-key", &O.kubelet_key_file, "The key of --kubelet-client-certificate."),
    FLAG_LIST("kubelet-preferred-address-types", &O.kubelet_address_types,
              "Which of a node's addresses to use, best first."),
    FLAG_DURATION("kubelet-timeout", &O.kubelet_timeout_ms,
                  "How long to wait for a kubelet's answer."),
    FLAG_NO_EFFECT("kubelet-port"),
    FLAG_NO_EFFECT("kubelet-read-only-port"),
};

const struct flag_group apiserver_flag_groups[] = {
    FLAG_GROUP("Store", store_flags),
    FLAG_GROUP("Serving", serving_flags),
    FLAG_GROUP("Authentication", authentication_flags),
    FLAG_GROUP("Authorization and admission", authorization_flags),
    FLAG_GROUP("API", api_flags),
    FLAG_GROUP("Kubelets", kubelet_flags),
};
const size_t apiserver_n_flag_groups = ARRAY_LEN(apiserver_flag_groups);

/* The address of the interface with the default route, else of the first one that is up. */
static const char *host_address(struct arena *a)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)}, from = {0};
	socklen_t len = sizeof(from);
	char text[INET_ADDRSTRLEN] = "";
	struct ifaddrs *list = NULL;

	/* Connecting a datagram socket sends nothing: it looks the route up. */
	to.sin_addr.s_addr = htonl(0x08080808);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	    getsockname(fd, (struct sockaddr *)&from, &len) == 0)
		inet_ntop(AF_INET, &from.sin_addr, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	if (!text[0] && getifaddrs(&list) == 0) {
		for (struct ifaddrs *i = list; i && !text[0]; i = i->ifa_next) {
			if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET ||
			    !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
				continue;
			struct sockaddr_in *in = (struct sockaddr_in *)i->ifa_addr;
			inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		}
		freeifaddrs(list);
	}
	return text[0] ? arena_strdup(a, text) : NULL;
}

static bool is_unspecified(const char *address)
{
	return strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static int check_port(const char *flag, int64_t port, struct err *err)
{
	if (port >= 0 && port <= 65535)
		return 0;
	return err_set(err, ERR_BAD_REQUEST, "--%s %lld must be between 0 and 65535", flag,
	               (long long)port);
}

static int check_both(const char *cert_flag, const char *cert, const char *key_flag,
                      const char *key, struct err *err)
{
	if (!*cert == !*key)
		return 0;
	return err_set(err, ERR_BAD_REQUEST, "--%s and --%s must be given together", cert_flag,
	               key_flag);
}

int apiserver_options_complete(struct apiserver_options *o, struct arena *a, struct err *err)
{
	enum { DEFAULT_STREAMS = 250 };

	if (o->etcd_servers.n == 0)
		return err_set(err, ERR_BAD_REQUEST, "--etcd-servers must be specified");
	if (o->secure_port < 1 || o->secure_port > 65535)
		return err_set(err, ERR_BAD_REQUEST,
		               "--secure-port %lld must be between 1 and 65535",
		               (long long)o->secure_port);
	if (o->grpc_port < 0)
		o->grpc_port = o->secure_port < 65535 ? o->secure_port + 1 : 0;
	int r = check_port("grpc-port", o->grpc_port, err);
	if (!r)
		r = check_both("tls-cert-file", o->tls_cert_file, "tls-private-key-file",
		               o->tls_key_file, err);
	if (!r)
		r = check_both("etcd-certfile", o->etcd_cert_file, "etcd-keyfile", o->etcd_key_file,
		               err);
	if (r < 0)
		return r;
	if (!*o->service_range)
		o->service_range = "10.0.0.0/24";
	if (!*o->advertise_address)
		o->advertise_address =
		    is_unspecified(o->bind_address) ? host_address(a) : o->bind_address;
	if (!o->advertise_address)
		return err_set(err, ERR_BAD_REQUEST,
		               "no address of this machine found: set --advertise-address");
	if (o->sa_issuers.n == 0)
		return err_set(err, ERR_BAD_REQUEST, "--service-account-issuer must be specified");
	if (o->authorization_modes.n == 0)
		*vec_push(&o->authorization_modes) = "AlwaysAllow";
	if (o->http2_max_streams <= 0)
		o->http2_max_streams = DEFAULT_STREAMS;
	if (o->front_loops <= 0)
		o->front_loops = MAX(1, sysconf(_SC_NPROCESSORS_ONLN) / 2);
	return 0;
}
