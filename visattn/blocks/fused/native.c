/* Passes over a map (N, C, HW) of floats, for gates; see native.py.

   The map is x = a[c] u + b[c], or u itself where a is null. Every function takes the images
   from first to last. Compiled without contraction, x has the same bits in each of them, so that a
   maximum found in one is found again in another. Sums are taken in blocks, and over blocks in double.
*/
#include <math.h>
#include <stddef.h>

#define LANES 16
#define BLOCK 4096 /* places at a time: what is kept for each stays in the second cache */
#define GROUP 16   /* channels summed in single precision */

typedef float V __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int M __attribute__((vector_size(4 * LANES)));

static inline V larger(V x, V y) {
  M first = x > y;
  return (V)(((M)x & first) | ((M)y & ~first));
}

static inline V at(const float *row) { return *(const V *)row; }

static inline float total_of(V x) {
  double total = 0;
  for (int i = 0; i < LANES; i++) total += x[i];
  return (float)total;
}

typedef const float *restrict In;
typedef float *restrict Out;
typedef long Size;

#define EACH _Pragma("GCC ivdep") /* an output is its own input at most */
#define A(c) (a ? a[c] : 1.0f)
#define B(c) (a ? b[c] : 0.0f)
#define SMALLER(x, y) ((x) < (y) ? (x) : (y))
#define IMAGES for (Size n = first; n < last; n++)
#define CHANNELS for (Size c = 0; c < C; c++)
#define BLOCKS for (Size start = 0; start < P; start += BLOCK)

/* The mean and the maximum of each channel. */
void pool(Size first, Size last, Size C, Size P, In u, Out mean, Out highest) {
  IMAGES CHANNELS {
    const float *row = u + (n * C + c) * P;
    double total = 0;
    V most = (V){0} - INFINITY;
    float rest = -INFINITY;
    BLOCKS {
      Size end = SMALLER(start + BLOCK, P), p = start;
      V sum = {0}, more = {0};
      for (; p + 2 * LANES <= end; p += 2 * LANES) {
        V x = at(row + p), y = at(row + p + LANES);
        sum += x, more += y;
        most = larger(larger(x, y), most);
      }
      for (; p < end; p++) {
        total += row[p];
        rest = row[p] > rest ? row[p] : rest;
      }
      total += total_of(sum + more);
    }
    for (int i = 0; i < LANES; i++) rest = most[i] > rest ? most[i] : rest;
    mean[n * C + c] = (float)(total / P);
    highest[n * C + c] = rest;
  }
}

/* The mean and the maximum over the channels, at each place, of y = x g. */
void pool_channels(Size first, Size last, Size C, Size P, In u, In g, Out mean, Out highest) {
  IMAGES BLOCKS {
    Size width = SMALLER(BLOCK, P - start);
    double total[BLOCK] = {0};
    float sum[BLOCK] = {0}, most[BLOCK];
    for (Size p = 0; p < width; p++) most[p] = -INFINITY;
    CHANNELS {
      const float *row = u + (n * C + c) * P + start, gate = g[n * C + c];
      for (Size p = 0; p < width; p++) {
        float y = row[p] * gate;
        sum[p] += y;
        most[p] = y > most[p] ? y : most[p];
      }
      if (c % GROUP == GROUP - 1 || c == C - 1)
        for (Size p = 0; p < width; p++) total[p] += sum[p], sum[p] = 0;
    }
    for (Size p = 0; p < width; p++) {
      mean[n * P + start + p] = (float)(total[p] / C);
      highest[n * P + start + p] = most[p];
    }
  }
}

/* z = x g s + shift, for a gate g per channel; s per place and a shift per channel may be null.
   z may be u itself. */
void gate(Size first, Size last, Size C, Size P, const float *u, In g, In s, In shift, float *z) {
  IMAGES CHANNELS {
    Size at = n * C + c;
    const float *row = u + at * P, gate = g[at], more = shift ? shift[at] : 0.0f;
    float *to = z + at * P;
    const float *sn = s ? s + n * P : NULL;
    if (s)
      EACH for (Size p = 0; p < P; p++) to[p] = row[p] * gate * sn[p];
    else
      EACH for (Size p = 0; p < P; p++) to[p] = row[p] * gate + more;
  }
}

/* sum_hw(d x) of each channel. */
void product(Size first, Size last, Size C, Size P, In u, In a, In b, In d, Out sums) {
  IMAGES CHANNELS {
    const float *row = u + (n * C + c) * P, *grad = d + (n * C + c) * P;
    float scale = A(c), shift = B(c);
    double total = 0;
    BLOCKS {
      Size end = SMALLER(start + BLOCK, P), p = start;
      V sum = {0};
      for (; p + LANES <= end; p += LANES) sum += at(grad + p) * (at(row + p) * scale + shift);
      for (; p < end; p++) total += grad[p] * (row[p] * scale + shift);
      total += total_of(sum);
    }
    sums[n * C + c] = (float)total;
  }
}

/* A value into its place's sum, maximum and count, and into its channel's. */
#define AT(p, i)                                                           \
  {                                                                        \
    float x = row[p] * scale + shift, y = x * gate;                        \
    sum[p] += grad[p] * y;                                                 \
    many[p] = y > most[p] ? 1.0f : many[p] + (y == most[p] ? 1.0f : 0.0f); \
    most[p] = y > most[p] ? y : most[p];                                   \
    equal[i] = x > top[i] ? 1.0f : equal[i] + (x == top[i] ? 1.0f : 0.0f); \
    top[i] = x > top[i] ? x : top[i];                                      \
  }

/* sum_c(d y) of each place; the maxima of y over channels and of x over places, and how many
   are equal to them. */
void places(Size first, Size last, Size C, Size P, In u, In a, In b, In d, In g, Out sums,
            Out highest_c, Out count_c, Out highest, Out count) {
  IMAGES {
    CHANNELS highest[n * C + c] = -INFINITY, count[n * C + c] = 0;
    BLOCKS {
      Size width = SMALLER(BLOCK, P - start);
      double total[BLOCK] = {0};
      float sum[BLOCK] = {0}, most[BLOCK], many[BLOCK] = {0};
      for (Size p = 0; p < width; p++) most[p] = -INFINITY;
      CHANNELS {
        Size at = n * C + c;
        const float *row = u + at * P + start, *grad = d + at * P + start;
        float scale = A(c), shift = B(c), gate = g[at], top[LANES], equal[LANES];
        for (int i = 0; i < LANES; i++) top[i] = -INFINITY, equal[i] = 0;
        Size p = 0;
        for (; p + LANES <= width; p += LANES)
          for (int i = 0; i < LANES; i++) AT(p + i, i)
        for (; p < width; p++) AT(p, 0)
        for (int i = 0; i < LANES; i++) {
          if (top[i] > highest[at]) highest[at] = top[i], count[at] = equal[i];
          else if (top[i] == highest[at]) count[at] += equal[i];
        }
        if (c % GROUP == GROUP - 1 || c == C - 1)
          for (Size q = 0; q < width; q++) total[q] += sum[q], sum[q] = 0;
      }
      for (Size p = 0; p < width; p++) {
        Size at = n * P + start + p;
        sums[at] = (float)total[p], highest_c[at] = most[p], count_c[at] = many[p];
      }
    }
  }
}

/* The gradient of y at a place: d s + of_mean + [y = highest] of_highest. */
#define DY(p, y) (grad[p] * sn[p] + mean_n[p] + ((y) == highest_n[p] ? most_n[p] : 0.0f))
#define OF_IMAGE                                                      \
  const float *sn = s + n * P, *mean_n = of_mean_c + n * P;           \
  const float *most_n = of_highest_c + n * P, *highest_n = highest_c + n * P;

/* sum_hw(dy x) of each channel. */
void channels(Size first, Size last, Size C, Size P, In u, In a, In b, In d, In g, In s,
              In of_mean_c, In of_highest_c, In highest_c, Out sums) {
  IMAGES {
    OF_IMAGE
    CHANNELS {
      Size at = n * C + c;
      const float *row = u + at * P, *grad = d + at * P;
      float scale = A(c), shift = B(c), gate = g[at];
      double total = 0;
      BLOCKS {
        Size end = SMALLER(start + BLOCK, P), p = start;
        float sum[LANES] = {0};
        for (; p + LANES <= end; p += LANES)
          for (int i = 0; i < LANES; i++) {
            float x = row[p + i] * scale + shift;
            sum[i] += x * DY(p + i, x * gate);
          }
        for (; p < end; p++) {
          float x = row[p] * scale + shift;
          sum[0] += x * DY(p, x * gate);
        }
        for (int i = 0; i < LANES; i++) total += sum[i];
      }
      sums[at] = (float)total;
    }
  }
}

/* dx = dy g + of_mean + [x = highest] of_highest. */
void whole(Size first, Size last, Size C, Size P, In u, In a, In b, In d, In g, In s,
           In of_mean_c, In of_highest_c, In highest_c, In of_mean, In of_highest, In highest,
           Out dx) {
  IMAGES {
    OF_IMAGE
    CHANNELS {
      Size at = n * C + c;
      const float *row = u + at * P, *grad = d + at * P;
      float scale = A(c), shift = B(c), gate = g[at];
      float mean = of_mean[at], most = of_highest[at], top = highest[at], *to = dx + at * P;
      EACH for (Size p = 0; p < P; p++) {
        float x = row[p] * scale + shift;
        to[p] = DY(p, x * gate) * gate + mean + (x == top ? most : 0.0f);
      }
    }
  }
}
