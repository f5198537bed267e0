// How a rider is drawn: one quad each, moved and faded by the graphics card.

/** Floats of one rider in the buffer: from (2), to (2), start and glide seconds (2), heading, seen, flags. */
export const FLOATS = 9;
export const FLAG_MOVING = 1;
export const FLAG_SELECTED = 2;
export const FLAG_HOVERED = 4;

export const vertexShader = `#version 300 es
precision highp float;
in vec2 a_corner;    // -1..1
in vec2 a_from;      // mercator, relative to the anchor
in vec2 a_to;
in vec2 a_glide;     // start, length: seconds on the layer's clock
in float a_heading;  // degrees from north; negative: unknown
in float a_seen;     // when the server heard of it last: seconds on the layer's clock
in float a_flags;
uniform vec2 u_anchor_px;
uniform float u_world_px;
uniform vec2 u_viewport;  // CSS pixels
uniform float u_now;
uniform float u_radius;
out vec2 v_at;            // pixels from the centre, heading up
out float v_radius;
out float v_beak;
out float v_age;
flat out int v_flags;
void main() {
  int flags = int(a_flags + 0.5);
  float part = a_glide.y > 0.0 ? clamp((u_now - a_glide.x) / a_glide.y, 0.0, 1.0) : 1.0;
  vec2 centre = u_anchor_px + mix(a_from, a_to, part) * u_world_px;
  bool raised = (flags & ${FLAG_SELECTED | FLAG_HOVERED}) != 0;
  v_radius = u_radius * (raised ? 1.35 : 1.0);
  v_beak = a_heading >= 0.0 && (flags & ${FLAG_MOVING}) != 0 && u_radius > 3.2 ? 1.0 : 0.0;
  float reach = v_radius * (v_beak > 0.5 ? 1.95 : 1.0) + 6.0; // with rim, ring and shade
  float angle = radians(a_heading);
  vec2 px = a_corner * reach;
  v_at = v_beak > 0.5 ? mat2(cos(angle), -sin(angle), sin(angle), cos(angle)) * px : px;
  v_age = u_now - a_seen;
  v_flags = flags;
  vec2 clip = (centre + px) / u_viewport * 2.0 - 1.0;
  gl_Position = vec4(clip.x, -clip.y, 0.0, 1.0);
}`;

export const fragmentShader = `#version 300 es
precision highp float;
in vec2 v_at;
in float v_radius;
in float v_beak;
in float v_age;
flat in int v_flags;
uniform vec3 u_moving;
uniform vec3 u_still;
uniform vec3 u_silent;
uniform vec3 u_rim;
uniform vec3 u_selected;
uniform float u_ratio;    // device pixels a CSS pixel
uniform float u_opacity;
out vec4 colour;

// A circle drawn out to a point: Inigo Quilez' uneven capsule with a small second radius.
float drop(vec2 p, float r, float tip, float h) {
  p.x = abs(p.x);
  float b = (r - tip) / h;
  float a = sqrt(1.0 - b * b);
  float k = dot(p, vec2(-b, a));
  if (k < 0.0) return length(p) - r;
  if (k > a * h) return length(p - vec2(0.0, h)) - tip;
  return dot(p, vec2(a, b)) - r;
}

void main() {
  vec2 up = vec2(v_at.x, -v_at.y);
  float d = v_beak > 0.5 ? drop(up, v_radius, 0.5, v_radius * 1.95) : length(up) - v_radius;
  bool moving = (v_flags & ${FLAG_MOVING}) != 0;
  bool selected = (v_flags & ${FLAG_SELECTED}) != 0;
  float silent = smoothstep(45.0, 75.0, v_age);
  vec3 fill = mix(moving ? u_moving : u_still, u_silent, silent);
  if (selected) fill = u_selected;
  float soft = 0.6 / u_ratio;
  float rim = v_radius > 3.2 ? 1.6 : 1.0;
  float body = 1.0 - smoothstep(-soft, soft, d);
  float edge = 1.0 - smoothstep(-soft, soft, d - rim);
  float shade = 0.28 * (1.0 - smoothstep(0.0, 4.0, d - rim + 0.5));
  float ring = selected ? 1.0 - smoothstep(0.0, 1.2, abs(d - rim - 3.0)) : 0.0;
  float alpha = max(edge, max(shade, ring));
  vec3 rgb = mix(vec3(0.0), u_rim, edge);
  rgb = mix(rgb, fill, max(body, ring));
  float fade = selected ? 1.0 : mix(1.0, 0.4, smoothstep(60.0, 300.0, v_age));
  alpha *= fade * u_opacity;
  if (alpha < 0.004) discard;
  colour = vec4(rgb * alpha, alpha);
}`;
