/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RH_DRILL_REPORT_PAGE_H
#define RH_DRILL_REPORT_PAGE_H

/* The page of a report as bytes, made of the files beside this one by web/embed.py. The result goes
 * between head and tail. */

#include <stddef.h>

extern const unsigned char rh_drill_page_head[];
extern const size_t rh_drill_page_head_size;
extern const unsigned char rh_drill_page_tail[];
extern const size_t rh_drill_page_tail_size;
extern const char rh_drill_page_policy[];

#endif
