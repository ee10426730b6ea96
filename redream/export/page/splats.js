"use strict";
// Draws Gaussian splats as redream/kernels/splats.py does: the same projection, widening, cut-offs
// and order, blended from far to near by WebGL 2. A splat is 32 bytes: position and scales (floats),
// colour with opacity and quaternion w x y z (bytes); see redream/export/splat_page.py.
const Splats = (function () {
  const WORDS = 8, PER_ROW = 1024, BINS = 1 << 16;

  const VERTEX = `#version 300 es
    precision highp float; precision highp int;
    uniform highp usampler2D cloud; uniform vec4 right, up, back; uniform vec2 size; uniform float focal;
    in vec2 corner; in uint index;
    out vec2 away; flat out vec3 conic; flat out vec4 color;
    vec4 bytes(uint word) { return vec4(uvec4(word, word >> 8, word >> 16, word >> 24) & 255u); }
    void main() {
      gl_Position = vec4(2.0, 2.0, 2.0, 1.0);  // outside, and so not drawn
      ivec2 at = ivec2(2 * int(index % ${PER_ROW}u), int(index / ${PER_ROW}u));
      uvec4 a = texelFetch(cloud, at, 0), b = texelFetch(cloud, at + ivec2(1, 0), 0);
      vec4 place = vec4(uintBitsToFloat(a.xyz), 1.0);
      vec3 scale = uintBitsToFloat(uvec3(a.w, b.xy));
      color = bytes(b.z) / 255.0;
      vec4 q = normalize(bytes(b.w) - 128.0);
      vec3 seen = vec3(dot(right, place), dot(up, place), dot(back, place));
      float depth = -seen.z;
      if (depth <= 0.05 || color.a < 1.0 / 255.0) return;
      vec2 limit = 1.3 * 0.5 * size / focal, near = clamp(seen.xy / depth, -limit, limit);
      float w = q.x, x = q.y, y = q.z, z = q.w;
      mat3 axes = mat3(
        1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
        2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
        2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
      vec3 across = (focal / depth) * (right.xyz + near.x * back.xyz) * axes * scale;
      vec3 along = (focal / depth) * (up.xyz + near.y * back.xyz) * axes * scale;
      float xx = dot(across, across) + 0.3, xy = dot(across, along), yy = dot(along, along) + 0.3;
      conic = vec3(yy, -xy, xx) / (xx * yy - xy * xy);
      away = corner * min(3.0, sqrt(2.0 * log(255.0 * color.a))) * sqrt(vec2(xx, yy));
      gl_Position = vec4(2.0 * (focal * seen.xy / depth + away) / size, 0.0, 1.0);
    }`;
  const FRAGMENT = `#version 300 es
    precision highp float;
    in vec2 away; flat in vec3 conic; flat in vec4 color; out vec4 seen;
    void main() {
      float far = 0.5 * (conic.x * away.x * away.x + conic.z * away.y * away.y) + conic.y * away.x * away.y;
      float alpha = min(0.99, color.a * exp(-far));
      if (far > 4.5 || alpha < 1.0 / 255.0) discard;
      seen = vec4(color.rgb * alpha, alpha);
    }`;

  function read(base64) {
    const bytes = Uint8Array.from(atob(base64), function (c) { return c.charCodeAt(0); });
    const words = new Uint32Array(bytes.buffer), floats = new Float32Array(bytes.buffer);
    const count = words.length / WORDS, positions = new Float32Array(3 * count);
    for (let i = 0; i < count; i++) positions.set(floats.subarray(WORDS * i, WORDS * i + 3), 3 * i);
    return { words: words, count: count, positions: positions };
  }

  // Numbers of the splats from far to near, by a counting sort along the axis toward the camera.
  function order(positions, back) {
    const count = positions.length / 3, depths = new Float32Array(count);
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < count; i++) {
      const d = back[0] * positions[3 * i] + back[1] * positions[3 * i + 1] + back[2] * positions[3 * i + 2];
      depths[i] = d;
      if (d < low) low = d;
      if (d > high) high = d;
    }
    const scale = (BINS - 1) / Math.max(high - low, 1e-12), starts = new Uint32Array(BINS + 1);
    for (let i = 0; i < count; i++) starts[((depths[i] - low) * scale | 0) + 1]++;
    for (let k = 0; k < BINS; k++) starts[k + 1] += starts[k];
    const sorted = new Uint32Array(count);
    for (let i = 0; i < count; i++) sorted[starts[(depths[i] - low) * scale | 0]++] = i;
    return sorted;
  }

  function drawer(gl, program, cloud) {
    const rows = Math.max(1, Math.ceil(cloud.count / PER_ROW)), texture = gl.createTexture();
    const padded = new Uint32Array(rows * PER_ROW * WORDS);
    padded.set(cloud.words);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32UI, 2 * PER_ROW, rows, 0, gl.RGBA_INTEGER, gl.UNSIGNED_INT, padded);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    const array = gl.createVertexArray(), numbers = gl.createBuffer();
    gl.bindVertexArray(array);
    const corner = gl.getAttribLocation(program, "corner"), index = gl.getAttribLocation(program, "index");
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, numbers);
    gl.bufferData(gl.ARRAY_BUFFER, 4 * cloud.count, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(index);
    gl.vertexAttribIPointer(index, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(index, 1);
    let sortedFor = null;
    function place(name) { return gl.getUniformLocation(program, name); }
    return function draw(eye, width, height) {
      const toward = eye.rows[2].slice(0, 3);
      gl.bindVertexArray(array);
      if (String(toward) !== sortedFor) {
        sortedFor = String(toward);
        gl.bindBuffer(gl.ARRAY_BUFFER, numbers);
        gl.bufferSubData(gl.ARRAY_BUFFER, 0, order(cloud.positions, toward));
      }
      gl.useProgram(program);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      ["right", "up", "back"].forEach(function (name, i) { gl.uniform4fv(place(name), eye.rows[i]); });
      gl.uniform2f(place("size"), width, height);
      gl.uniform1f(place("focal"), 0.5 * height * eye.focal);
      gl.disable(gl.DEPTH_TEST);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, cloud.count);
      gl.disable(gl.BLEND);
    };
  }

  return { VERTEX: VERTEX, FRAGMENT: FRAGMENT, read: read, order: order, drawer: drawer };
})();
