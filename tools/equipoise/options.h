/* Options as tables. One table makes the parser, the help, the manual page and the shells' completions, so that what
 * is documented is what is accepted: ranges, choices and defaults are written down once. */
#ifndef EQUIPOISE_OPTIONS_H
#define EQUIPOISE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { EQ_OPTION_LIST = 16 };

/* What EQ_INTEGER, EQ_REAL and EQ_SIZE options with `automatic` hold after "auto"; keep it out of their ranges. */
enum { EQ_AUTO = -1 };

/* A list of whole numbers, "32,64,96". */
typedef struct eq_integers {
    int count;
    int64_t item[EQ_OPTION_LIST];
} eq_integers;

/* "A..B", both ends included; "A" alone is A..A. */
typedef struct eq_range {
    int64_t first, last;
} eq_range;

/* The values of an option that may be given repeatedly, in their order. */
typedef struct eq_texts {
    int count;
    const char **item;
} eq_texts;

/* The kind decides which type of member an option fills. */
typedef enum eq_option_kind {
    EQ_FLAG,     /* bool: true when given; takes no value */
    EQ_INTEGER,  /* int64_t within `range` */
    EQ_REAL,     /* double within `real` */
    EQ_SIZE,     /* int64_t bytes within `range`: 512M, 4G, powers of 1024 */
    EQ_RANGE,    /* eq_range within `range` */
    EQ_INTEGERS, /* eq_integers, each within `range` */
    EQ_CHOICE,   /* int: the position in `choices` */
    EQ_TEXT,     /* const char *: NULL when not given */
    EQ_FILE,     /* const char *, completed as a file */
    EQ_FOLDER,   /* const char *, completed as a folder */
    EQ_TEXTS,    /* eq_texts: may be given repeatedly */
    EQ_FILES,    /* eq_texts, completed as files */
} eq_option_kind;

/* A row of a table. Tables end with an empty row. A row with a heading alone starts a section of the help. */
typedef struct eq_option {
    const char *heading;
    const char *name; /* without the dashes */
    char letter;      /* short form, 0: none */
    eq_option_kind kind;
    bool required, automatic;
    const char *value; /* what stands for the value in the help: "N", "DIR"; NULL for flags */
    size_t member;     /* offsetof the member in the command's settings */
    struct {
        int64_t low, high;
    } range;
    struct {
        double low, high;
    } real;
    const char *const *choices; /* ends with NULL */
    const char *standard;       /* the default, as one would type it; NULL: zero, NULL or empty */
    const char *help;           /* a phrase in lower case without a full stop; range and default are added */
} eq_option;

/* The row of that long name; NULL if there is none. */
const eq_option *eq_option_find(const eq_option *table, const char *name);

/* Number of rows, headings included. */
int eq_option_count(const eq_option *table);

bool eq_option_repeats(const eq_option *option);

/* Checks `text` and stores it in `settings`. Texts are kept as pointers, and eq_texts grow by realloc. EQ_BAD_USAGE
 * says what the option takes: "--count must be 1 to 1000, not 0". */
eq_status eq_option_store(eq_context *ctx, const eq_option *option, const char *text, void *settings);

/* Stores the defaults of all rows; settings are zeroed before. A default that does not parse is a fault of the table
 * and reported like a user's. */
eq_status eq_options_default(eq_context *ctx, const eq_option *table, void *settings);

/* Frees what eq_option_store allocated in `settings`. */
void eq_options_free(const eq_option *table, void *settings);

/* "--steps N", with the letter: "-h, --help". Like snprintf: always terminated, returns the whole length. */
int eq_option_usage(const eq_option *option, char *buffer, size_t size);

/* What the option takes beyond its help: "1 to 1000; default 50", "" if there is nothing to say. Like snprintf. */
int eq_option_limits(const eq_option *option, char *buffer, size_t size);

/* Of `count` names the one nearest to `word` by spelling; NULL if none is near. */
const char *eq_nearest(const char *word, const char *const *names, int count);

#endif
