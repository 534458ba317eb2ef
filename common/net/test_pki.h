/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Throw-away certificates for tests: a CA, and leaves that it signs. All texts are PEM. */
struct test_ca {
	void *key, *cert;
	char *pem;
	long serial;
};

struct test_leaf {
	char *cert_pem, *key_pem;
};

void test_ca_init(struct test_ca *ca, const char *common_name);
void test_ca_deinit(struct test_ca *ca);
/* orgs: comma-separated or NULL; san: OpenSSL's form, such as "IP:127.0.0.1,DNS:localhost", or
 * NULL. Valid for one day. */
void test_leaf_init(struct test_leaf *leaf, struct test_ca *ca, const char *common_name,
                    const char *orgs, const char *san);
void test_leaf_deinit(struct test_leaf *leaf);
