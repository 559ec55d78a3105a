/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "bed/seed.h"
#include "bed/unit.h"
#include "core/client_once.h"
#include "core/sequential_test.h"
#include "verdict_bed.h"

static struct client_once set;

static int begin(void **context)
{
	memset(&set, 0, sizeof(set));
	client_once_begin(&set);
	return 0;
}

static bool counts(enum verdict_signal signal, const char *address)
{
	const int family = strchr(address, ':') ? AF_INET6 : AF_INET;
	uint8_t bytes[16] = {0};

	assert_int_equal(inet_pton(family, address, bytes), 1);
	return client_once_counts(&set, signal, family, bytes);
}

static void once_a_signal_and_look(void **context)
{
	assert_true(counts(VERDICT_RESETS, "192.0.2.1"));
	assert_false(counts(VERDICT_RESETS, "192.0.2.1"));
	assert_true(counts(VERDICT_RESETS, "192.0.2.2"));
	assert_true(counts(VERDICT_HTTP_5XX, "192.0.2.1"));
	client_once_begin(&set);
	assert_true(counts(VERDICT_RESETS, "192.0.2.1"));
	assert_false(counts(VERDICT_RESETS, "192.0.2.1"));
}

/* Also if a client's places for two signals are the same. */
static void each_signal(void **context)
{
	seed_start("clients");
	for (unsigned int look = 0; look < 100; look++) {
		client_once_begin(&set);
		for (unsigned int i = 0; i < 30; i++) {
			const uint32_t client = seed_word();
			uint8_t address[16] = {0};

			memcpy(address, &client, sizeof(client));
			for (unsigned int signal = VERDICT_RESETS; signal <= VERDICT_HTTP_5XX;
			     signal++)
				assert_true(client_once_counts(&set, signal, AF_INET, address));
		}
	}
}

/* A client of IPv6 has a /64; of an IPv4-mapped address, all of it matters. */
static void clients(void **context)
{
	assert_true(counts(VERDICT_RESETS, "2001:db8:1:2::1"));
	assert_false(counts(VERDICT_RESETS, "2001:db8:1:2:3:4:5:6"));
	assert_true(counts(VERDICT_RESETS, "2001:db8:1:3::1"));
	assert_true(counts(VERDICT_RESETS, "::ffff:192.0.2.1"));
	assert_false(counts(VERDICT_RESETS, "192.0.2.1"));
	assert_true(counts(VERDICT_RESETS, "::ffff:192.0.2.2"));
	/* Their bytes are equal, as far as they are compared. */
	assert_true(counts(VERDICT_RESETS, "2001:db8::1"));
	assert_true(counts(VERDICT_RESETS, "32.1.13.184"));
}

/* However many clients there are, none counts twice. As long as there is room, nearly all count. */
static void many_clients(void **context)
{
	unsigned int counted = 0;

	for (uint32_t i = 0; i < 100000; i++) {
		uint8_t address[16] = {0};

		memcpy(address, &i, sizeof(i));
		counted += client_once_counts(&set, VERDICT_RESETS, AF_INET, address);
		assert_false(client_once_counts(&set, VERDICT_RESETS, AF_INET, address));
		if (i == CLIENT_ONCE_MAX / 2)
			assert_true(counted >= CLIENT_ONCE_MAX / 2 * 95 / 100);
	}
	assert_true(counted <= CLIENT_ONCE_MAX);
	assert_true(counted >= CLIENT_ONCE_MAX * 95 / 100);
}

/* How many of @runs are false alarms if errors come in threes, of one client and of one version. */
static unsigned int false_alarms(unsigned int runs, bool once)
{
	unsigned int alarms = 0;

	for (unsigned int run = 0; run < runs; run++) {
		struct sequential_test test = {0};

		for (unsigned int look = 0; look < 100; look++) {
			unsigned int errors[2] = {0};

			client_once_begin(&set);
			for (unsigned int burst = seed_next(6); burst; burst--) {
				const bool is_new = verdict_bed_random() < 0.05;
				const uint32_t client = seed_word();
				uint8_t address[16] = {0};

				memcpy(address, &client, sizeof(client));
				for (unsigned int i = 0; i < 3; i++)
					errors[is_new] += client_once_counts(&set, VERDICT_RESETS,
					                                     AF_INET, address) ||
					                  !once;
			}
			sequential_test_look(&test, 0.05, 1, errors[true], errors[false]);
			if (sequential_test_log_evidence(&test) >= log(100)) {
				alarms++;
				break;
			}
		}
	}
	return alarms;
}

/* Errors in threes: more than the 1 % of false alarms without the set, less with it. */
static void bursts(void **context)
{
	const unsigned int runs = verdict_bed_runs(1000, 10000);
	unsigned int with, without;

	seed_start("bursts");
	with = false_alarms(runs, true);
	without = false_alarms(runs, false);
	print_message(
	        "errors in threes, %u runs at alpha 1 %%: %.1f %% false alarms, %.1f %% if "
	        "each error counts\n",
	        runs, 100.0 * with / runs, 100.0 * without / runs);
	/* Of 1,000 runs at no more than 1 %, more than 20 have a probability of 0.2 %; in fact the
	 * rate is a third of that. */
	assert_true(with <= runs * 2 / 100);
	assert_true(without > runs * 4 / 100);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(once_a_signal_and_look, begin),
	        cmocka_unit_test_setup(each_signal, begin),
	        cmocka_unit_test_setup(clients, begin),
	        cmocka_unit_test_setup(many_clients, begin),
	        cmocka_unit_test_setup(bursts, begin),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
