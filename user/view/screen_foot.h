/* SPDX-License-Identifier: BSD-2-Clause */
/* The last lines of the screens of `top`: the keys, or a message in place of them; and the help. */
#pragma once

#include "view/screen.h"
#include "view/screen_pen.h"

/* How many lines screen_foot_draw() takes. */
unsigned int screen_foot_count_lines(const struct screen *screen);

/* Draws screen->message, or @keys if there is none. */
void screen_foot_draw(struct screen_pen *pen, const struct screen *screen, const char *keys);

/* Draws what each key does; @lines lines, which are cut or filled up. */
void screen_foot_draw_help(struct screen_pen *pen, size_t lines);
