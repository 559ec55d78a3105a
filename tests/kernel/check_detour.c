/* SPDX-License-Identifier: BSD-2-Clause */
/* kern/detour. Needs root. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "check/check.h"
#include "core/endpoint.h"
#include "kern/detour.h"
#include "kern/endpoint_address.h"
#include "kern/own_listener.h"

#define PORT 8080

static const struct rpd_endpoint any4 = {.family = AF_INET, .port = PORT},
                                 any6 = {.family = AF_INET6, .port = PORT},
                                 one = {.family = AF_INET, .port = PORT, .addr = {127, 0, 0, 1}},
                                 two = {.family = AF_INET, .port = PORT, .addr = {127, 0, 0, 2}},
                                 one6 = {.family = AF_INET6, .port = PORT, .addr = {[15] = 1}};

static void detour_end(struct detour **detour)
{
	detour_free(*detour);
}

#define _cleanup_detour_ _cleanup_(detour_end)

static struct detour *open_detour(void)
{
	struct detour *detour = NULL;
	struct error err;

	CHECK_MSG(detour_open(&detour, &err) == 0, "%s", err.text);
	return detour;
}

static int open_listener(const struct rpd_endpoint *e)
{
	struct error err;
	const int fd = own_listener_open(e, -1, &err);

	CHECK_MSG(fd >= 0, "%s", err.text);
	return fd;
}

/* Whether a connection to @to comes to @listener. */
static bool reaches(const struct rpd_endpoint *to, int listener)
{
	_cleanup_close_ int fd = socket(to->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int accepted = -1;
	union endpoint_address address;
	const socklen_t length = endpoint_address_get(to, &address);

	CHECK(connect(fd, &address.sa, length) == 0);
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return accepted >= 0;
}

/* From one address, from all of the family, and back. */
static void leads_on(void)
{
	_cleanup_close_ int all = open_listener(&any6), first = open_listener(&any4),
	                    second = open_listener(&two);
	_cleanup_detour_ struct detour *detour = open_detour();
	struct error err;

	CHECK(reaches(&one, first) && reaches(&two, second) && reaches(&one6, all));
	CHECK_EQ(detour_add(detour, 0, &two, all, &err), 0);
	CHECK(reaches(&one, first) && reaches(&two, all) && reaches(&one6, all));
	CHECK_EQ(detour_add(detour, DETOUR_MAX - 1, &any4, all, &err), 0);
	CHECK(reaches(&one, all) && reaches(&two, all) && reaches(&one6, all));
	detour_remove(detour, 0, &two);
	detour_remove(detour, DETOUR_MAX - 1, &any4);
	CHECK(reaches(&one, first) && reaches(&two, second));
}

/* It ends with its program, and with its listener. */
static void ends(void)
{
	_cleanup_close_ int all = open_listener(&any6), first = open_listener(&any4),
	                    more = open_listener(&any6);
	struct detour *detour = open_detour();
	struct error err;

	CHECK_EQ(detour_add(detour, 1, &any4, more, &err), 0);
	CHECK(!reaches(&one, first));
	cleanup_close(&more);
	more = -1;
	CHECK(reaches(&one, first));
	CHECK_EQ(detour_add(detour, 1, &any4, all, &err), 0);
	CHECK(reaches(&one, all));
	detour_free(detour);
	CHECK(reaches(&one, first));
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {CHECK_CASE(leads_on), CHECK_CASE(ends)};

	return check_main(argc, argv, cases, ARRAY_SIZE(cases));
}
