/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/unpinned.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/groups.h"
#include "kern/pins.h"
#include "kern/program.h"
#include "kern/sockdiag.h"
#include "kern/steer.h"

#define UNPINNED_PROGRAM "steer" /* bpf/steer.bpf.c */

/* Whether the service has the program. */
static bool unpinned_is_of(const char *service, uint32_t program)
{
	struct pins pins = PINS_NONE;
	struct error ignored;
	struct steer steer;
	bool found = false;

	steer_init(&steer);
	if (pins_open_unlocked(&pins, service, &ignored) == 0 &&
	    steer_open_pins(&steer, &pins, &ignored) == 0)
		for (unsigned int e = 0; e < steer.service->n_endpoints; e++)
			found |= steer_has_endpoint(&steer, e) &&
			         program_id(steer.endpoints[e].prog_fd) == program;
	steer_close(&steer);
	pins_unlock(&pins);
	return found;
}

static bool unpinned_is_pinned(uint32_t program)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	struct error ignored;
	size_t n = 0;

	if (pins_list_services(&names, &n, &ignored) < 0)
		return true; /* unknown */
	for (size_t i = 0; i < n; i++)
		if (unpinned_is_of(names[i], program))
			return true;
	return false;
}

static bool unpinned_is_ours(uint32_t program)
{
	char name[PROGRAM_NAME_MAX];

	return program != RPD_PROGRAM_NONE && program != RPD_PROGRAM_CLASSIC &&
	       program_name(program, name) && !strcmp(name, UNPINNED_PROGRAM) &&
	       !unpinned_is_pinned(program);
}

static uint16_t unpinned_port(const struct listener *listeners, size_t n, uint64_t cookie)
{
	for (size_t i = 0; i < n; i++)
		if (listeners[i].cookie == cookie)
			return listeners[i].endpoint.port;
	return 0;
}

void unpinned_explain(struct error *err)
{
	_cleanup_free_ struct rpd_group_member *rows = NULL;
	_cleanup_free_ struct listener *listeners = NULL;
	size_t n = 0, n_rows = 0;
	struct error ignored;

	if (sockdiag_list_listeners(0, &listeners, &n, &ignored) < 0 || n == 0 ||
	    groups_read_listeners(listeners, n, &rows, &n_rows) < 0)
		return;
	for (size_t i = 0; i < n_rows; i++) {
		if (!unpinned_is_ours(rows[i].program))
			continue;
		error_add(err, 0,
		          "\nport %u is steered all the same, by a program of reuseportd (id %u) "
		          "without pins: they were deleted, so it can't be changed any more; "
		          "restart the port's workers one by one, then attach them",
		          unpinned_port(listeners, n, rows[i].cookie), rows[i].program);
		return;
	}
}
