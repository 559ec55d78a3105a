/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/in_force.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/held_child.h"
#include "kern/listener_lookup.h"
#include "kern/program.h"
#include "kern/sockdiag_dump.h"

#define IN_FORCE_LOOKUPS  32
#define IN_FORCE_SEVERAL  2048
#define IN_FORCE_SURE     24
#define IN_FORCE_HELD_MAX 16 /* children that wait for the answers of the kernel */

/* A number that was read from the memory of a listener that had closed is mostly no program's. */
static bool in_force_is_real(uint32_t program)
{
	return program == RPD_PROGRAM_CLASSIC || !program_is_missing(program);
}

static enum in_force_state in_force_judge(uint32_t is, uint32_t ours)
{
	if (is == RPD_PROGRAM_NONE)
		return IN_FORCE_DETACHED;
	if (!ours) /* the pin of our program is damaged */
		return IN_FORCE_UNKNOWN;
	if (is == ours)
		return IN_FORCE_OURS;
	return in_force_is_real(is) ? IN_FORCE_REPLACED : IN_FORCE_UNKNOWN;
}

void in_force_read(const struct groups *groups, const struct steer *steer, struct in_force *ret)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	struct error ignored;
	size_t n = 0;

	groups_read(groups, &rows, &n, &ignored);
	in_force_take(rows, n, steer, ret);
	in_force_look_up(rows, n, steer, ret);
}

void in_force_take(const struct rpd_group_member *rows, size_t n, const struct steer *steer,
                   struct in_force *ret)
{
	uint32_t ours[RPD_ENDPOINT_MAX];

	*ret = (struct in_force){.n = steer->service->n_endpoints};
	for (unsigned int e = 0; rows && e < ret->n; e++) {
		ret->state[e] = IN_FORCE_UNUSED;
		ours[e] =
		        steer_has_endpoint(steer, e) ? program_id(steer->endpoints[e].prog_fd) : 0;
	}
	for (size_t i = 0; i < n; i++) {
		const unsigned int e = rows[i].endpoint;

		if (!steer_has_endpoint(steer, e))
			continue;
		ret->avoided[e] |= rows[i].avoids != 0;
		if (in_force_lacks_program(ret, e))
			continue;
		ret->state[e] = in_force_judge(rows[i].program, ours[e]);
		ret->program[e] = rows[i].program;
	}
}

/* Whether the listener gets the connections to the endpoint's address. The kernel has looked at
 * v6only before it answered. */
static bool in_force_covers(const struct listener *found, const struct rpd_endpoint *endpoint)
{
	struct rpd_endpoint of = found->endpoint;

	of.v6only = endpoint->v6only;
	return endpoint_covers(&of, endpoint);
}

/* How many lookups in a row find no admitted listener by chance with a probability of
 * e^-IN_FORCE_SURE, if the kernel chooses among all members of the service's group. */
static unsigned int in_force_lookups(const struct rpd_group_member *rows, size_t n,
                                     unsigned int endpoint)
{
	unsigned int admitted = 0, members = 0;

	for (size_t i = 0; i < n; i++) {
		if (rows[i].endpoint != endpoint)
			continue;
		admitted++;
		if (members < rows[i].n_members)
			members = rows[i].n_members;
	}
	if (!admitted)
		return UINT_MAX;
	if (members < admitted)
		members = admitted;
	return IN_FORCE_SURE * members / admitted + IN_FORCE_LOOKUPS;
}

/* Whether the kernel finds only listeners that were not admitted: a single one, or the members of
 * another group. The service's group may have such members, too. */
static bool in_force_is_outside(const struct rpd_group_member *rows, size_t n,
                                const struct steer *steer, unsigned int endpoint)
{
	const unsigned int lookups = in_force_lookups(rows, n, endpoint);
	const struct rpd_endpoint *address = &steer->service->endpoints[endpoint];
	struct listener found;
	uint64_t first = 0;
	bool is_one = true;

	for (unsigned int i = 0; i < lookups; i++) {
		if (listener_lookup(address, &found) < 0 || !in_force_covers(&found, address) ||
		    groups_find(rows, n, found.cookie))
			return false;
		first = first ? first : found.cookie;
		is_one &= found.cookie == first;
		if (i + 1 == IN_FORCE_LOOKUPS && (is_one || lookups > IN_FORCE_SEVERAL))
			return is_one;
	}
	return true;
}

struct in_force_look {
	const struct rpd_group_member *rows;
	size_t n;
	const struct steer *steer;
	struct in_force found;
};

static void in_force_run(void *data)
{
	struct in_force_look *look = data;
	struct in_force *it = &look->found;

	for (unsigned int e = 0; e < it->n; e++) {
		if (it->state[e] != IN_FORCE_OURS || it->avoided[e])
			continue;
		it->outside[e] = in_force_is_outside(look->rows, look->n, look->steer, e);
		it->avoided[e] = it->outside[e];
	}
}

/* In a child if any process of the host may keep the kernel from answering. */
void in_force_look_up(const struct rpd_group_member *rows, size_t n, const struct steer *steer,
                      struct in_force *it)
{
	const struct held_child_call call = {
	        .run = in_force_run, .keep = {-1, -1}, .max = IN_FORCE_HELD_MAX};
	struct in_force_look look = {.rows = rows, .n = n, .steer = steer, .found = *it};

	if (sockdiag_dump_is_serial())
		held_child_run(&call, &look, sizeof(look));
	else
		in_force_run(&look);
	*it = look.found;
}

bool in_force_lacks_program(const struct in_force *it, unsigned int endpoint)
{
	return it->state[endpoint] >= IN_FORCE_REPLACED;
}

bool in_force_is_lost(const struct in_force *it, unsigned int endpoint)
{
	return in_force_lacks_program(it, endpoint) || it->avoided[endpoint];
}

int in_force_find_lost(const struct in_force *it)
{
	for (unsigned int e = 0; e < it->n; e++)
		if (in_force_is_lost(it, e))
			return (int)e;
	return -1;
}

static const char *in_force_describe_avoided(char buf[IN_FORCE_TEXT_MAX])
{
	snprintf(buf, IN_FORCE_TEXT_MAX,
	         "the kernel, which may prefer a listener with SO_REUSEPORT off,");
	return buf;
}

static const char *in_force_describe_program(uint32_t program, char buf[IN_FORCE_TEXT_MAX])
{
	char name[PROGRAM_NAME_MAX];

	if (program == RPD_PROGRAM_NONE)
		snprintf(buf, IN_FORCE_TEXT_MAX, "no program but the kernel's hash");
	else if (program == RPD_PROGRAM_CLASSIC)
		snprintf(buf, IN_FORCE_TEXT_MAX, "a classic BPF program");
	else if (!in_force_is_real(program))
		snprintf(buf, IN_FORCE_TEXT_MAX, "an unknown program");
	else if (program_name(program, name))
		snprintf(buf, IN_FORCE_TEXT_MAX, "another BPF program (id %u, %s)", program, name);
	else
		snprintf(buf, IN_FORCE_TEXT_MAX, "another BPF program (id %u)", program);
	return buf;
}

const char *in_force_describe(const struct in_force *it, unsigned int endpoint,
                              char buf[IN_FORCE_TEXT_MAX])
{
	return in_force_lacks_program(it, endpoint) || !it->avoided[endpoint]
	               ? in_force_describe_program(it->program[endpoint], buf)
	               : in_force_describe_avoided(buf);
}

const char *in_force_describe_row(const struct rpd_group_member *row, uint32_t ours,
                                  char buf[IN_FORCE_TEXT_MAX])
{
	return row->program == ours && row->avoids ? in_force_describe_avoided(buf)
	                                           : in_force_describe_program(row->program, buf);
}
