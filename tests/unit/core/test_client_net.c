/* SPDX-License-Identifier: BSD-2-Clause */
/* Networks of clients, and which addresses are in them. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/client_net.h"

/* Whether the address, IPv4 in its mapped form, is in the network. */
static bool has(const char *net, const char *address)
{
	struct rpd_ignored ignored = {.n = 1};
	__u32 addr[4];

	if (client_net_parse(net, &ignored.nets[0]) < 0)
		fail_msg("'%s' is refused", net);
	assert_int_equal(inet_pton(AF_INET6, address, addr), 1);
	return rpd_ignored_has(&ignored, addr);
}

static void contains(void **state)
{
	static const struct {
		const char *net, *address;
		bool has;
	} cases[] = {
	        {"10.0.0.0/8", "::ffff:10.255.0.1", true},
	        {"10.1.2.3/8", "::ffff:10.255.0.1", true},
	        {"10.0.0.0/8", "::ffff:11.0.0.1", false},
	        {"10.0.0.0/8", "::10.0.0.1", false},
	        {"192.0.2.8/29", "::ffff:192.0.2.15", true},
	        {"192.0.2.8/29", "::ffff:192.0.2.16", false},
	        {"192.0.2.1", "::ffff:192.0.2.1", true},
	        {"192.0.2.1", "::ffff:192.0.2.2", false},
	        {"192.0.2.1/32", "::ffff:192.0.2.1", true},
	        {"0.0.0.0/0", "::ffff:255.1.2.3", true},
	        {"0.0.0.0/0", "2001:db8::1", false},
	        {"::/0", "::ffff:192.0.2.1", true},
	        {"::/0", "2001:db8::1", true},
	        {"::ffff:192.0.2.0/120", "::ffff:192.0.2.7", true},
	        {"::1", "::1", true},
	        {"::1", "::2", false},
	        {"2001:db8::/33", "2001:db8:7fff::", true},
	        {"2001:db8::/33", "2001:db8:8000::", false},
	        {"[2001:db8::]/32", "2001:db8:8000::", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (has(cases[i].net, cases[i].address) != cases[i].has)
			fail_msg("%s in %s", cases[i].address, cases[i].net);
}

static void refused(void **state)
{
	static const char *const texts[] = {
	        "",
	        "/8",
	        "10.0.0.0/",
	        "10.0.0.0/33",
	        "10.0.0.0/-1",
	        "10.0.0/8",
	        "::/129",
	        "localhost",
	        "10.0.0.0/8x",
	        "10.0.0.0/ 8",
	        "a/8",
	        "::1%lo",
	        "1111111111111111111111111111111111111111111111111111111111111111"};
	struct rpd_net net;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (client_net_parse(texts[i], &net) != -EINVAL)
			fail_msg("'%s' is accepted", texts[i]);
}

static void several(void **state)
{
	struct rpd_ignored ignored = {};
	__u32 addr[4];

	assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", addr), 1);
	assert_false(rpd_ignored_has(&ignored, addr));
	for (; ignored.n < RPD_IGNORED_MAX - 1; ignored.n++)
		assert_int_equal(client_net_parse("::1", &ignored.nets[ignored.n]), 0);
	assert_false(rpd_ignored_has(&ignored, addr));
	assert_int_equal(client_net_parse("192.0.2.1", &ignored.nets[ignored.n++]), 0);
	assert_true(rpd_ignored_has(&ignored, addr));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(contains),
	        cmocka_unit_test(refused),
	        cmocka_unit_test(several),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
