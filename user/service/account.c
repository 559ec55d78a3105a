/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/account.h"

#include <errno.h>

#include "base/cleanup.h"
#include "kern/steer_workers.h"
#include "kern/steer_members.h"

/* The account that the newcomer's connections from before are counted in, if it was in @slot. */
static uint16_t account_own_account(const struct service *service, unsigned int slot,
                                    const struct newcomer *newcomer)
{
	struct rpd_member member;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e] &&
		    steer_members_get(&service->steer, newcomer->listeners[e]->cookie, &member) ==
		            0 &&
		    member.account % RPD_SLOT_MAX == slot && member.account < RPD_ACCOUNT_UNKNOWN)
			return member.account;
	return RPD_ACCOUNT_NONE;
}

/* Whether a listener that is counted in the account may still be open: who was swapped out and may
 * come back, or still has something in his queue. */
static bool account_is_in_use(const struct service *service, uint16_t account)
{
	uint64_t cookie, next;
	int r = steer_members_next(&service->steer, NULL, &cookie);

	for (; r == 0; cookie = next) {
		struct rpd_member member;

		if (steer_members_get(&service->steer, cookie, &member) == 0 &&
		    member.account == account)
			return true;
		r = steer_members_next(&service->steer, &cookie, &next);
	}
	return false;
}

uint16_t account_choose(struct service *service, unsigned int slot, const struct newcomer *newcomer)
{
	uint16_t account = account_own_account(service, slot, newcomer);
	struct rpd_worker former;

	if (!service->conns.counting || account != RPD_ACCOUNT_NONE)
		return account;
	if (steer_workers_get(&service->steer, slot, &former) < 0)
		return RPD_ACCOUNT_NONE;
	for (unsigned int i = 0; i < RPD_ACCOUNT_GENERATIONS; i++) {
		struct conn_count count;

		account = slot + i * RPD_SLOT_MAX;
		if (former.pid &&
		    (former.account == account || account_is_in_use(service, account)))
			continue;
		if (conns_read_count(&service->steer, account, &count) == 0 &&
		    conn_count_still_open(&count) == 0 &&
		    conns_clear_count(&service->steer, account) == 0)
			return account;
	}
	return RPD_ACCOUNT_NONE;
}

int account_open_connections(const struct service *service, uint16_t account, uint64_t *ret)
{
	struct conn_count count;
	int r;

	if (!service->conns.counting || account >= RPD_ACCOUNT_UNKNOWN)
		return -ENODATA;
	r = conns_read_count(&service->steer, account, &count);
	if (r == 0)
		*ret = conn_count_still_open(&count);
	return r;
}

int account_handshakes(const struct service *service, const uint64_t *cookies, size_t n,
                       uint64_t *ret)
{
	_cleanup_free_ struct rpd_handshakes *rows = NULL;
	uint64_t sum = 0;
	struct error ignored;
	size_t n_rows;
	int r;

	if (!service->conns.counting || !service->reachable)
		return -ENODATA;
	r = conns_read_handshakes(&service->conns, &rows, &n_rows, &ignored);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_rows; i++)
		for (size_t c = 0; c < n; c++)
			if (rows[i].cookie == cookies[c])
				sum += rows[i].under_way;
	*ret = sum;
	return 0;
}
