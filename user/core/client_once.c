/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/client_once.h"

#include <netinet/in.h>
#include <string.h>

/* How many places of the set may have an entry: also addresses that were chosen to be in the same
 * places cost no more. */
#define CLIENT_ONCE_WAYS 8

/* The /64 of an IPv6 address, or 32 zero bits, which no /64 begins with, and the IPv4 address. */
static uint64_t client_once_key(int family, const uint8_t address[16])
{
	struct in6_addr ipv6;
	uint32_t ipv4[2] = {0};
	uint64_t key;

	memcpy(&ipv6, address, sizeof(ipv6));
	if (family == AF_INET || IN6_IS_ADDR_V4MAPPED(&ipv6)) {
		memcpy(&ipv4[1], address + (family == AF_INET ? 0 : 12), sizeof(ipv4[1]));
		memcpy(&key, ipv4, sizeof(key));
	} else
		memcpy(&key, address, sizeof(key));
	return key;
}

/* The last step of splitmix64. */
static uint64_t client_once_hash(uint64_t key)
{
	key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9;
	key = (key ^ key >> 27) * 0x94d049bb133111eb;
	return key ^ key >> 31;
}

void client_once_begin(struct client_once *set)
{
	set->look++;
}

bool client_once_counts(struct client_once *set, enum verdict_signal signal, int family,
                        const uint8_t address[16])
{
	const uint64_t client = client_once_key(family, address);
	const uint64_t at = client_once_hash(client ^ (uint64_t)signal << 56);

	for (unsigned int i = 0; i < CLIENT_ONCE_WAYS; i++) {
		struct client_once_entry *entry = &set->entries[(at + i) % CLIENT_ONCE_MAX];

		if (entry->look != set->look) {
			*entry = (struct client_once_entry){set->look, client, signal};
			return true;
		}
		if (entry->client == client && entry->signal == signal)
			return false;
	}
	return false;
}
