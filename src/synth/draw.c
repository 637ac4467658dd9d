/* Composes a portrait from its parts: background, back hair, body, neck, head, front hair, glasses, light. */
#include "synth/portraits.h"

#include <math.h>

#include "synth/attire.h"
#include "synth/beard.h"
#include "synth/clothes.h"
#include "synth/features.h"
#include "synth/glasses.h"
#include "synth/hair.h"
#include "synth/head.h"

/* Parts are drawn in a picture of 100 x 100 units, at this many samples a pixel side. */
static const double picture_units = 100, centre_x = 50;
enum { SUPERSAMPLING = 2 };

typedef struct pose {
    double x, y, scale; /* of the whole figure */
    double tilt;        /* of the head about the neck, in radians */
} pose;

typedef struct background {
    eq_rgb from, to;
    double angle;
    double glow_x, glow_y;
} background;

typedef struct light {
    double angle, strength;
    eq_rgb colour;
} light;

/* Everything that a portrait's random numbers decide. */
typedef struct look {
    background background;
    pose pose;
    light light;
    eq_head head;
    eq_hair hair;
    eq_features features;
    eq_beard beard;
    eq_clothes clothes;
    eq_glasses glasses;
    eq_attire attire;
} look;

static background background_sample(eq_rng *rng)
{
    background b;
    const double hue = eq_rng_uniform(rng), saturation = eq_synth_range(rng, 0.22, 0.48);
    const double value = eq_synth_range(rng, 0.66, 0.88);
    b.from = eq_rgb_from_hsv(hue, 0.8 * saturation, fmin(value + 0.08, 1));
    b.to = eq_rgb_from_hsv(fmod(hue + eq_synth_range(rng, 0.96, 1.04), 1), saturation, value - 0.12);
    b.angle = eq_synth_range(rng, 0.2, M_PI - 0.2);
    b.glow_x = eq_synth_range(rng, 20, 80);
    b.glow_y = eq_synth_range(rng, 15, 50);
    return b;
}

static pose pose_sample(eq_rng *rng)
{
    pose p;
    p.x = eq_synth_range(rng, -2.2, 2.2);
    p.y = eq_synth_range(rng, -1.5, 1.8);
    p.scale = eq_synth_range(rng, 0.95, 1.04);
    p.tilt = eq_synth_range(rng, -0.075, 0.075);
    return p;
}

static light light_sample(eq_rng *rng)
{
    light l;
    l.angle = eq_synth_range(rng, -M_PI, 0);
    l.strength = eq_synth_range(rng, 0.03, 0.09);
    const double warmth = eq_synth_range(rng, -1, 1);
    l.colour = (eq_rgb){1, 0.96, 0.92 - 0.06 * warmth};
    return l;
}

/* Everything else stays as it would be without an occupation. */
static void put_to_work(look *l, uint64_t seed, uint64_t index, eq_portrait_labels labels)
{
    /* Smaller and higher than others, so that hats and garments have room. */
    static const double scale = 0.84, rise = 10;
    eq_rng rng = eq_rng_make(seed, index, EQ_SYNTH_ATTIRE);
    l->attire = eq_attire_sample(&rng, labels, &l->clothes);
    l->pose.scale *= scale;
    l->pose.y -= rise;
}

static look look_sample(uint64_t seed, uint64_t index, eq_portrait_labels labels)
{
    eq_rng rng = eq_rng_make(seed, index, EQ_SYNTH_LOOK);
    look l;
    l.background = background_sample(&rng);
    l.pose = pose_sample(&rng);
    l.light = light_sample(&rng);
    l.head = eq_head_sample(&rng, labels);
    l.hair = eq_hair_sample(&rng, labels, &l.head);
    l.features = eq_features_sample(&rng, labels, &l.head, l.hair.colour);
    l.beard = eq_beard_sample(&rng, labels, l.hair.colour, eq_hair_is_long(&l.hair));
    l.clothes = eq_clothes_sample(&rng, labels);
    l.glasses = eq_glasses_sample(&rng, labels);
    l.attire = (eq_attire){0};
    if (labels.occupation != EQ_OCCUPATION_NONE)
        put_to_work(&l, seed, index, labels);
    return l;
}

static void draw_background(cairo_t *cr, const background *b)
{
    const double dx = 50 * cos(b->angle), dy = 50 * sin(b->angle);
    cairo_rectangle(cr, 0, 0, picture_units, picture_units);
    eq_fill_linear(cr, 50 - dx, 50 - dy, b->from, 50 + dx, 50 + dy, b->to);
    eq_soft_disc(cr, b->glow_x, b->glow_y, 55, (eq_rgb){1, 1, 1}, 0.22);
}

/* A wash across the picture, brighter towards the light and darker away from it. */
static void draw_light(cairo_t *cr, const light *l)
{
    const double dx = 50 * cos(l->angle), dy = 50 * sin(l->angle);
    cairo_pattern_t *wash = cairo_pattern_create_linear(50 + dx, 50 + dy, 50 - dx, 50 - dy);
    cairo_pattern_add_color_stop_rgba(wash, 0, l->colour.r, l->colour.g, l->colour.b, l->strength);
    cairo_pattern_add_color_stop_rgba(wash, 0.5, l->colour.r, l->colour.g, l->colour.b, 0);
    cairo_pattern_add_color_stop_rgba(wash, 0.5, 0.08, 0.05, 0.15, 0);
    cairo_pattern_add_color_stop_rgba(wash, 1, 0.08, 0.05, 0.15, l->strength);
    cairo_set_source(cr, wash);
    cairo_paint(cr);
    cairo_pattern_destroy(wash);
}

/* Between these two the head's frame tilts with the head. */
static void enter_head_frame(cairo_t *cr, const look *l)
{
    const double pivot_y = l->head.jaw_y + 6;
    cairo_save(cr);
    cairo_translate(cr, 0, pivot_y);
    cairo_rotate(cr, l->pose.tilt);
    cairo_translate(cr, 0, -pivot_y);
}

static void leave_head_frame(cairo_t *cr)
{
    cairo_restore(cr);
}

/* Hair under a hat does not rise above its rim. */
static void draw_hair(cairo_t *cr, const look *l, void (*part)(cairo_t *, const eq_hair *, const eq_head *))
{
    const double line = eq_attire_hair_line(&l->attire, &l->head);
    if (line <= 0) {
        part(cr, &l->hair, &l->head);
        return;
    }
    cairo_save(cr);
    cairo_rectangle(cr, -picture_units, line, 2 * picture_units, 2 * picture_units);
    cairo_clip(cr);
    part(cr, &l->hair, &l->head);
    cairo_restore(cr);
}

static void draw_figure(cairo_t *cr, const look *l, bool with_glasses)
{
    enter_head_frame(cr, l);
    draw_hair(cr, l, eq_hair_draw_back);
    leave_head_frame(cr);

    eq_clothes_draw_body(cr, &l->clothes, &l->head);
    eq_neck_draw(cr, &l->head);
    eq_clothes_draw_collar(cr, &l->clothes, &l->head);
    eq_garment_draw(cr, &l->attire, &l->clothes, &l->head);

    enter_head_frame(cr, l);
    eq_head_draw(cr, &l->head);
    eq_features_draw_skin(cr, &l->features, &l->head);
    eq_beard_draw(cr, &l->beard, &l->features, &l->head);
    eq_features_draw(cr, &l->features, &l->head);
    draw_hair(cr, l, eq_hair_draw_front);
    if (with_glasses)
        eq_glasses_draw(cr, &l->glasses, &l->features, &l->head);
    eq_hat_draw(cr, &l->attire, &l->head);
    leave_head_frame(cr);
    eq_held_draw(cr, &l->attire, &l->head);
}

/* The mean of each SUPERSAMPLING x SUPERSAMPLING block. */
static void downsample(cairo_surface_t *surface, eq_image *out)
{
    cairo_surface_flush(surface);
    const uint8_t *data = cairo_image_surface_get_data(surface);
    const size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    enum { SAMPLES = SUPERSAMPLING * SUPERSAMPLING };
    for (int y = 0; y < out->height; y++) {
        for (int x = 0; x < out->width; x++) {
            unsigned sum[3] = {0};
            for (int s = 0; s < SAMPLES; s++) {
                const int sx = x * SUPERSAMPLING + s % SUPERSAMPLING, sy = y * SUPERSAMPLING + s / SUPERSAMPLING;
                const uint32_t pixel = ((const uint32_t *)(const void *)(data + (size_t)sy * stride))[sx];
                sum[0] += pixel >> 16 & 255;
                sum[1] += pixel >> 8 & 255;
                sum[2] += pixel & 255;
            }
            uint8_t *rgb = out->pixels + 3 * ((size_t)y * (size_t)out->width + (size_t)x);
            for (int c = 0; c < 3; c++)
                rgb[c] = (uint8_t)((sum[c] + SAMPLES / 2) / SAMPLES);
        }
    }
}

static eq_status check_labels(eq_context *ctx, eq_portrait_labels labels)
{
    for (int a = 0; a < EQ_PORTRAIT_ATTRIBUTES; a++)
        if (eq_portrait_label(labels, a) >= eq_portrait_attributes[a].class_count)
            return eq_fail(ctx, EQ_BAD_USAGE, "portrait labels: %s must be below %d, got %d",
                           eq_portrait_attributes[a].name, eq_portrait_attributes[a].class_count,
                           eq_portrait_label(labels, a));
    if (labels.occupation >= EQ_OCCUPATION_COUNT)
        return eq_fail(ctx, EQ_BAD_USAGE, "portrait labels: occupation must be below %d, got %d", EQ_OCCUPATION_COUNT,
                       labels.occupation);
    return EQ_OK;
}

eq_status eq_portrait_draw(eq_context *ctx, int size, uint64_t seed, uint64_t index, eq_portrait_labels labels,
                           eq_image *out)
{
    if (size < EQ_PORTRAIT_MIN_SIZE || size > EQ_PORTRAIT_MAX_SIZE)
        return eq_fail(ctx, EQ_BAD_USAGE, "portrait size must be %d..%d pixels, got %d", EQ_PORTRAIT_MIN_SIZE,
                       EQ_PORTRAIT_MAX_SIZE, size);
    EQ_TRY(check_labels(ctx, labels));
    const look l = look_sample(seed, index, labels);

    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, size * SUPERSAMPLING, size * SUPERSAMPLING);
    cairo_t *cr = cairo_create(surface);
    cairo_scale(cr, size * SUPERSAMPLING / picture_units, size * SUPERSAMPLING / picture_units);
    draw_background(cr, &l.background);
    eq_scene_draw(cr, &l.attire);
    cairo_save(cr);
    cairo_translate(cr, centre_x + l.pose.x, picture_units + l.pose.y);
    cairo_scale(cr, l.pose.scale, l.pose.scale);
    cairo_translate(cr, 0, -picture_units);
    draw_figure(cr, &l, labels.glasses == EQ_GLASSES_YES);
    cairo_restore(cr);
    draw_light(cr, &l.light);

    eq_image image = {0};
    const cairo_status_t drawn = cairo_status(cr);
    eq_status status = drawn == CAIRO_STATUS_SUCCESS ? eq_image_new(ctx, size, size, &image)
                       : drawn == CAIRO_STATUS_NO_MEMORY
                           ? eq_fail_memory(ctx, "a portrait's canvas")
                           : eq_fail(ctx, EQ_FAILED, "drawing portrait %llu: %s", (unsigned long long)index,
                                     cairo_status_to_string(drawn));
    if (status == EQ_OK) {
        downsample(surface, &image);
        *out = image;
    }
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return status;
}
