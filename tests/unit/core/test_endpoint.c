/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "bed/unit.h"
#include "core/endpoint.h"

static void format(void **state)
{
	static const struct {
		const char *text;
		struct rpd_endpoint endpoint;
	} cases[] = {
	        {"0.0.0.0:8080", {.family = AF_INET, .port = 8080}},
	        {"127.0.0.1:80%2", {AF_INET, .port = 80, .ifindex = 2, .addr = {127, 0, 0, 1}}},
	        {"[::]:8080", {.family = AF_INET6, .port = 8080}},
	        {"[::1]:65535%4294967295",
	         {AF_INET6, .port = 65535, .ifindex = UINT32_MAX, .addr = {[15] = 1}}},
	        {"[fe80:1234:1234:1234:1234:1234:1234:1234]:1",
	         {AF_INET6, .port = 1,
	          .addr = {0xfe, 0x80, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34, 0x12, 0x34,
	                   0x12, 0x34, 0x12, 0x34}}},
	};
	char buf[ENDPOINT_TEXT_MAX], cut[4];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(endpoint_format(&cases[i].endpoint, buf, sizeof(buf)),
		                    cases[i].text);
	assert_string_equal(endpoint_format(&cases[0].endpoint, cut, sizeof(cut)), "0.0");
}

static void parse_address(void **state)
{
	static const struct {
		const char *text;
		int family; /* 0 = refused */
		uint8_t addr[16];
	} cases[] = {
	        {"0.0.0.0", AF_INET, {0}},
	        {"127.0.0.1", AF_INET, {127, 0, 0, 1}},
	        {"::", AF_INET6, {0}},
	        {"[::1]", AF_INET6, {[15] = 1}},
	        {"::ffff:1.2.3.4", AF_INET6, {[10] = 0xff, 0xff, 1, 2, 3, 4}},
	        {""},
	        {"[]"},
	        {"1.2.3"},
	        {"[1.2.3.4]"},
	        {"::1]"},
	        {"::1%lo"},
	        {"localhost"},
	        /* an address if it were cut to the longest possible text of one */
	        {"[0000:0000:0000:0000:0000:0000:255.255.255.2551]"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t addr[16];
		int family = 0, r;

		memset(addr, 0xaa, sizeof(addr));
		r = endpoint_parse_address(cases[i].text, &family, addr);
		assert_int_equal(r, cases[i].family ? 0 : -EINVAL);
		assert_int_equal(family, cases[i].family);
		if (r == 0)
			assert_memory_equal(addr, cases[i].addr, sizeof(addr));
		else
			assert_int_equal(addr[0], 0xaa);
	}
}

static void parse_with_port(void **state)
{
	static const struct {
		const char *text;
		int r;
		struct rpd_endpoint endpoint;
	} cases[] = {
	        {"127.0.0.1:9464", 0, {AF_INET, .port = 9464, .addr = {127, 0, 0, 1}}},
	        {"[::1]:1", 0, {AF_INET6, .port = 1, .addr = {[15] = 1}}},
	        {"0.0.0.0:65535", 0, {AF_INET, .port = 65535}},
	        {"[::ffff:255.255.255.255]:80",
	         0,
	         {AF_INET6, .port = 80, .addr = {[10] = 255, 255, 255, 255, 255, 255}}},
	        {"0.0.0.0:65536", -ERANGE},
	        {"0.0.0.0:0", -ERANGE},
	        {"0.0.0.0:", -EINVAL},
	        {"0.0.0.0:80 ", -EINVAL},
	        {"0.0.0.0", -EINVAL},
	        {"::1:80", -EINVAL},
	        {"[::1]", -EINVAL},
	        {"[::1]80", -EINVAL},
	        {"[0.0.0.0]:80", -EINVAL},
	        {":80", -EINVAL},
	        {"80", -EINVAL},
	        {"", -EINVAL},
	        {"localhost:80", -EINVAL},
	        {"[0000:0000:0000:0000:0000:0000:255.255.255.2551]:80", -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rpd_endpoint got, untouched;
		int r;

		memset(&got, 0xaa, sizeof(got));
		untouched = got;
		r = endpoint_parse(cases[i].text, &got);
		if (r != cases[i].r)
			fail_msg("'%s': %d", cases[i].text, r);
		assert_memory_equal(&got, r == 0 ? &cases[i].endpoint : &untouched, sizeof(got));
	}
}

/* Every field matters, and they matter in the order of this list. */
static void order_of_endpoints(void **state)
{
	static const struct rpd_endpoint sorted[] = {
	        {.family = AF_INET, .port = 80},
	        {.family = AF_INET, .port = 80, .uid = 1},
	        {.family = AF_INET, .port = 80, .ifindex = 1},
	        {.family = AF_INET, .port = 80, .addr = {127, 0, 0, 1}},
	        {.family = AF_INET6, .port = 80},
	        {.family = AF_INET6, .port = 80, .uid = 7},
	        {.family = AF_INET6, .port = 80, .v6only = 1},
	        {.family = AF_INET, .port = 81},
	};

	for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sorted); j++) {
			const int r = endpoint_compare(&sorted[i], &sorted[j]);

			assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
			assert_int_equal(endpoint_equal(&sorted[i], &sorted[j]), i == j);
		}
}

/* The kernel's rule is checked by tests/kernel/check_hook_hold.c. */
static void takes_from_an_endpoint(void **state)
{
	const struct rpd_endpoint any = {AF_INET, .port = 80}, any6 = {AF_INET6, .port = 80},
	                          only6 = {AF_INET6, .port = 80, .v6only = 1},
	                          one = {AF_INET, .port = 80, .addr = {127, 0, 0, 1}},
	                          other_port = {AF_INET, .port = 81, .addr = {127, 0, 0, 1}},
	                          one6 = {AF_INET6, .port = 80, .v6only = 1, .addr = {[15] = 1}},
	                          mapped = {AF_INET6, .port = 80,
	                                    .addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}},
	                          device = {AF_INET, .port = 80, .ifindex = 1},
	                          device2 = {AF_INET, .port = 80, .ifindex = 2};
	const struct {
		const struct rpd_endpoint *a, *e;
		bool takes;
	} cases[] = {
	        {&any, &any6, true},        {&one, &any, true},         {&one, &any6, true},
	        {&one6, &any6, true},       {&one6, &only6, true},      {&mapped, &any, true},
	        {&mapped, &any6, true},     {&device, &any, true},      {&any, &device, true},
	        {&one, &mapped, true},      {&any, &any, false},        {&any, &one, false},
	        {&any6, &any, false},       {&any, &only6, false},      {&one, &one6, false},
	        {&mapped, &one, false},     {&only6, &any6, false},     {&device, &device2, false},
	        {&one, &other_port, false}, {&other_port, &any, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(endpoint_takes_from(cases[i].a, cases[i].e), cases[i].takes);
}

static void match_of_a_named_endpoint(void **state)
{
	const struct rpd_endpoint e = {AF_INET, .port = 80, .uid = 7, .addr = {127, 0, 0, 1}};
	const struct rpd_endpoint yes[] = {
	        {.port = 80},
	        {AF_INET, .port = 80, .addr = {127, 0, 0, 1}},
	};
	const struct rpd_endpoint no[] = {
	        {.port = 81},
	        {AF_INET, .port = 80},
	        {AF_INET, .port = 81, .addr = {127, 0, 0, 1}},
	        {AF_INET6, .port = 80, .addr = {127, 0, 0, 1}},
	};
	struct rpd_endpoint device = e;

	device.ifindex = 2;
	assert_true(endpoint_matches(&device, &yes[0]));
	assert_false(endpoint_matches(&device, &yes[1]));
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		assert_true(endpoint_matches(&e, &yes[i]));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		assert_false(endpoint_matches(&e, &no[i]));
}

static void loopback(void **state)
{
	static const struct rpd_endpoint yes[] = {
	        {AF_INET, .addr = {127, 0, 0, 1}},
	        {AF_INET, .addr = {127, 9, 9, 9}},
	        {AF_INET6, .addr = {[15] = 1}},
	};
	static const struct rpd_endpoint no[] = {
	        {AF_INET},
	        {AF_INET6},
	        {AF_INET, .addr = {128, 0, 0, 1}},
	        {AF_INET6, .addr = {127, 0, 0, 1}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		assert_true(endpoint_is_loopback(&yes[i]));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		assert_false(endpoint_is_loopback(&no[i]));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(format),
	        cmocka_unit_test(parse_address),
	        cmocka_unit_test(parse_with_port),
	        cmocka_unit_test(order_of_endpoints),
	        cmocka_unit_test(takes_from_an_endpoint),
	        cmocka_unit_test(match_of_a_named_endpoint),
	        cmocka_unit_test(loopback),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
