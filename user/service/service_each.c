/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_each.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/pins.h"

/* What is left of the patience. */
static void service_each_set_patience(unsigned int patience_ms, int64_t begin)
{
	const int64_t waited = (clock_ns(CLOCK_MONOTONIC) - begin) / (NS_PER_S / 1000);

	pins_set_waiting(pins_never_wait,
	                 waited < patience_ms ? patience_ms - (unsigned int)waited : 0);
}

int service_each(void (*visit)(const char *name, void *data), void *data, unsigned int patience_ms,
                 struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	const int64_t begin = clock_ns(CLOCK_MONOTONIC);
	size_t n = 0;
	int r = pins_list_services(&names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (patience_ms)
			service_each_set_patience(patience_ms, begin);
		visit(names[i], data);
	}
	return r;
}
