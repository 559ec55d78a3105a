/* SPDX-License-Identifier: BSD-2-Clause */
/* web/http_clients: which connections of the metrics' clients end, and when. */
#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "bed/unit.h"
#include "web/http_clients.h"

#define MANY (HTTP_CLIENTS_MAX + 10)

static struct http_clients clients;
static struct http_client *added[MANY];
static int fds[MANY], ends[MANY];
static int n_added;

/* Adds a connection of a client. Returns its number. */
static int add(int64_t now, const struct sockaddr *address)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fds[n_added] = pair[0];
	ends[n_added] = pair[1];
	added[n_added] = http_clients_add(&clients, pair[0], address, now);
	assert_non_null(added[n_added]);
	return n_added++;
}

/* Host @host of 10.0.0.0/8. */
static int add_v4(int64_t now, uint32_t host)
{
	const struct sockaddr_in address = {.sin_family = AF_INET,
	                                    .sin_addr.s_addr = htonl(0x0a000000 | host)};

	return add(now, (const struct sockaddr *)&address);
}

static int add_v6(int64_t now, const char *text)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6};

	assert_int_equal(inet_pton(AF_INET6, text, &address.sin6_addr), 1);
	return add(now, (const struct sockaddr *)&address);
}

static bool has_ended(int number)
{
	struct pollfd end = {.fd = ends[number], .events = POLLIN};

	return poll(&end, 1, 0) == 1;
}

static int end_all(void **state)
{
	for (int i = 0; i < n_added; i++) {
		http_clients_remove(&clients, added[i]);
		close(fds[i]);
		close(ends[i]);
	}
	assert_null(clients.oldest);
	n_added = 0;
	return 0;
}

static void limit_of_an_address(void **state)
{
	const int other = add_v4(0, 2);
	int first = n_added;

	for (int i = 0; i < HTTP_CLIENTS_PER_ADDRESS; i++)
		add_v4(0, 1);
	assert_false(has_ended(first));
	add_v4(0, 1);
	assert_true(has_ended(first) && !has_ended(first + 1) && !has_ended(other));
	/* A connection with a request ends later than those without. */
	http_clients_note_request(added[first + 1], 0);
	add_v4(0, 1);
	assert_true(!has_ended(first + 1) && has_ended(first + 2));
	for (int i = first; i < n_added; i++)
		http_clients_note_request(added[i], 0);
	add_v4(0, 1);
	assert_true(has_ended(first + 1) && !has_ended(first + 3) && !has_ended(other));
}

static void limit_of_a_network(void **state)
{
	for (int i = 0; i < HTTP_CLIENTS_PER_ADDRESS; i++)
		add_v6(0, i % 2 ? "2001:db8::1" : "2001:db8::2:1");
	add_v6(0, "2001:db8:0:1::1");
	assert_false(has_ended(0));
	add_v6(0, "2001:db8::3");
	assert_true(has_ended(0) && !has_ended(1));
}

static void limit_of_all(void **state)
{
	for (uint32_t i = 0; i < HTTP_CLIENTS_MAX; i++)
		add_v4(0, i);
	http_clients_note_request(added[0], 0);
	assert_false(has_ended(1));
	add_v4(0, 0xffff);
	assert_true(!has_ended(0) && has_ended(1) && !has_ended(2));
	/* A connection that is ended, and not closed yet, takes no room. */
	http_clients_remove(&clients, added[1]);
	added[1] = NULL;
	add_v4(0, 0xfffe);
	assert_true(has_ended(2) && !has_ended(3));
}

static void deadlines(void **state)
{
	const int64_t answer = 2 * NS_PER_S + HTTP_CLIENTS_ANSWER_NS;

	assert_int_equal(http_clients_expire(&clients, 0), INT64_MAX);
	add_v4(0, 1);
	add_v4(NS_PER_S, 2);
	assert_int_equal(http_clients_expire(&clients, NS_PER_S), HTTP_CLIENTS_REQUEST_NS);
	http_clients_note_request(added[1], 2 * NS_PER_S);
	assert_false(has_ended(0));
	assert_int_equal(http_clients_expire(&clients, HTTP_CLIENTS_REQUEST_NS), answer);
	assert_true(has_ended(0) && !has_ended(1));
	assert_int_equal(http_clients_expire(&clients, answer), INT64_MAX);
	assert_true(has_ended(1));
}

/* Connections of one user by a Unix socket count together, and don't end those of IPv4. */
static void limit_of_a_user(void **state)
{
	const struct sockaddr unix_socket = {.sa_family = AF_UNIX};
	const int other = add_v4(0, 1), first = add(0, &unix_socket);

	assert_int_equal(added[first]->is_root, geteuid() == 0);
	assert_false(added[other]->is_root);
	for (int i = 1; i < HTTP_CLIENTS_PER_ADDRESS; i++)
		add(i, &unix_socket);
	assert_false(has_ended(first));
	add(HTTP_CLIENTS_PER_ADDRESS, &unix_socket);
	assert_true(has_ended(first));
	assert_false(has_ended(other));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_teardown(limit_of_an_address, end_all),
	        cmocka_unit_test_teardown(limit_of_a_network, end_all),
	        cmocka_unit_test_teardown(limit_of_a_user, end_all),
	        cmocka_unit_test_teardown(limit_of_all, end_all),
	        cmocka_unit_test_teardown(deadlines, end_all),
	};

	return unit_main(argc, argv, tests, ARRAY_SIZE(tests), NULL, NULL);
}
