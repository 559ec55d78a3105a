/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/connection_rate.h"

void connection_rate_add(const struct rpd_rate *row, uint64_t now,
                         uint32_t ret[RPD_RATE_SECONDS - 1])
{
	for (uint64_t i = 0; i < RPD_RATE_SECONDS - 1; i++) {
		uint64_t second = now - 1 - i;

		if (second <= row->second && second + RPD_RATE_SECONDS > row->second)
			ret[i] += row->of[second % RPD_RATE_SECONDS];
	}
}

double connection_rate_mean(const uint32_t seconds[RPD_RATE_SECONDS - 1])
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < RATE_SECONDS; i++)
		sum += seconds[i];
	return (double)sum / RATE_SECONDS;
}
