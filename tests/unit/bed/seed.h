/* SPDX-License-Identifier: BSD-2-Clause */
/* Random input for property tests and simulations. It is the same in each run: a simulation keeps
 * within its bounds at most seeds, and no run is to fail by chance. RPD_SEED=N in the environment
 * gives other input; RPD_FULL, which `tools/test --full` sets, other input in each run. The seed is
 * printed. */
#pragma once

#include <stdint.h>

/* Begins a sequence of random numbers; the same one each time in a run. @what: for the message. */
void seed_start(const char *what);

/* 0 to @n - 1. */
unsigned int seed_next(unsigned int n);

/* @low to @high. */
unsigned int seed_between(unsigned int low, unsigned int high);

uint32_t seed_word(void);
