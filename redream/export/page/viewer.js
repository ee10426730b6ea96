"use strict";
// Shows each particle's splats and its embedded GLB, which turn until they are dragged; where the
// card says data-still they wait for that, and nothing is drawn while nothing changes. Knows what our
// own exporter writes: triangles under one node without a transform, coloured by a texture.
(function () {
  const COMPONENTS = { 5121: Uint8Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };
  const WIDTHS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4 };

  function readGlb(base64) {
    const bytes = Uint8Array.from(atob(base64), function (c) { return c.charCodeAt(0); });
    const jsonLength = new DataView(bytes.buffer).getUint32(12, true);
    const gltf = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + jsonLength)));
    const start = 28 + jsonLength;
    function slice(view, offset, length) {
      const first = start + (view.byteOffset || 0) + (offset || 0);
      return bytes.buffer.slice(first, first + (length || view.byteLength));
    }
    function accessor(index) {
      const a = gltf.accessors[index], Type = COMPONENTS[a.componentType];
      const length = a.count * WIDTHS[a.type] * Type.BYTES_PER_ELEMENT;
      return new Type(slice(gltf.bufferViews[a.bufferView], a.byteOffset, length));
    }
    function picture(material) {
      const info = (material.pbrMetallicRoughness || {}).baseColorTexture;
      if (!info) return null;
      const image = gltf.images[gltf.textures[info.index].source];
      return new Blob([slice(gltf.bufferViews[image.bufferView])], { type: image.mimeType });
    }
    const parts = gltf.meshes.flatMap(function (mesh) { return mesh.primitives; });
    return {
      bytes: bytes,
      primitives: parts.map(function (p) {
        const material = (gltf.materials || [])[p.material] || {};
        const vertices = accessor(p.attributes.POSITION);
        return {
          positions: vertices,
          normals: accessor(p.attributes.NORMAL),
          uvs: "TEXCOORD_0" in p.attributes ? accessor(p.attributes.TEXCOORD_0) : null,
          indices: "indices" in p ? Uint32Array.from(accessor(p.indices))
            : Uint32Array.from({ length: vertices.length / 3 }, function (_, i) { return i; }),
          picture: picture(material),
        };
      }),
    };
  }

  const VERTEX = "attribute vec3 position, normal; attribute vec2 uv; uniform mat4 camera;" +
    "varying vec3 n; varying vec2 t;" +
    "void main() { n = normal; t = uv; gl_Position = camera * vec4(position, 1.0); }";
  const FRAGMENT = "precision mediump float; varying vec3 n; varying vec2 t;" +
    "uniform sampler2D picture; uniform vec3 light; uniform float clay;" +
    "void main() { float lit = 0.5 + 0.5 * dot(normalize(n), light);" +
    "vec3 color = texture2D(picture, t).rgb;" +
    "gl_FragColor = vec4(mix(color, vec3(0.18) + vec3(0.74, 0.72, 0.69) * lit * lit, clay), 1.0); }";

  function makeProgram(gl, vertex, fragment) {
    const program = gl.createProgram();
    [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]].forEach(function (stage) {
      const shader = gl.createShader(stage[0]);
      gl.shaderSource(shader, stage[1]);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    });
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("a shader does not link");
    return program;
  }

  function upload(gl, program, primitive) {
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    [["position", primitive.positions, 3], ["normal", primitive.normals, 3], ["uv", primitive.uvs, 2]]
      .forEach(function (attribute) {
        const place = gl.getAttribLocation(program, attribute[0]);
        if (place < 0 || !attribute[1]) return;
        gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
        gl.bufferData(gl.ARRAY_BUFFER, attribute[1], gl.STATIC_DRAW);
        gl.enableVertexAttribArray(place);
        gl.vertexAttribPointer(place, attribute[2], gl.FLOAT, false, 0, 0);
      });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, primitive.indices, gl.STATIC_DRAW);
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    const white = new Uint8Array([255, 255, 255, 255]);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 1, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, white);
    const drawable = { array: array, texture: texture, count: primitive.indices.length };
    if (!primitive.picture) return Promise.resolve(drawable);
    return createImageBitmap(primitive.picture).then(function (bitmap) {
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
      gl.generateMipmap(gl.TEXTURE_2D);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
      return drawable;
    });
  }

  function bounds(clouds) {
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    clouds.forEach(function (positions) {
      positions.forEach(function (value, i) {
        low[i % 3] = Math.min(low[i % 3], value);
        high[i % 3] = Math.max(high[i % 3], value);
      });
    });
    return { centre: low.map(function (v, i) { return (v + high[i]) / 2; }),
      radius: Math.hypot(high[0] - low[0], high[1] - low[1], high[2] - low[2]) / 2 };
  }

  // The camera circles the centre: azimuth 0 looks at the front from +Z and grows toward +X.
  function camera(view, box, aspect) {
    const sa = Math.sin(view.azimuth), ca = Math.cos(view.azimuth);
    const se = Math.sin(view.elevation), ce = Math.cos(view.elevation);
    const right = [ca, 0, -sa], up = [-sa * se, ce, -ca * se], back = [sa * ce, se, ca * ce];
    const f = 1 / Math.tan(Math.PI / 9), distance = 0.96 * box.radius * Math.hypot(f, 1);
    const near = 0.05 * distance, far = distance + 2 * box.radius;
    function shift(axis) { return -(axis[0] * box.centre[0] + axis[1] * box.centre[1] + axis[2] * box.centre[2]); }
    const rows = [right.concat(shift(right)), up.concat(shift(up)), back.concat(shift(back) - distance)];
    const zs = (far + near) / (near - far), zt = 2 * far * near / (near - far);
    const matrix = [];
    for (let c = 0; c < 4; c++) {
      matrix.push(rows[0][c] * f / aspect, rows[1][c] * f, rows[2][c] * zs + (c === 3 ? zt : 0), -rows[2][c]);
    }
    const light = [0, 1, 2].map(function (i) { return (0.35 * right[i] + 0.55 * up[i] + 0.75 * back[i]) / 0.993; });
    return { matrix: matrix, light: light, rows: rows, focal: f };
  }

  function show(card) {
    const canvas = card.querySelector("canvas"), video = card.querySelector("video");
    const data = card.querySelector("script[type='model/gltf-binary']");
    const splats = card.querySelector("script[type='model/splats']");
    const tabs = Array.from(card.querySelectorAll(".tabs button"));
    const view = { azimuth: 0.5, elevation: 0.26, shown: "film", turning: !("still" in card.dataset) };
    let redraw = function () {};
    function select(name) {
      tabs.forEach(function (tab) { tab.setAttribute("aria-pressed", tab.dataset.show === name); });
      canvas.hidden = name === "film";
      if (video) video.hidden = name !== "film";
      if (video && !video.hidden) video.play().catch(function () {});
      view.shown = name;
      redraw();
    }
    tabs.forEach(function (tab) { tab.onclick = function () { select(tab.dataset.show); }; });
    if (!data && !splats) return; // the film plays by itself
    function fallBack() {
      tabs.forEach(function (tab) { tab.hidden = tab.dataset.show !== "film"; });
      select("film");
      if (!video) canvas.replaceWith("It cannot be drawn here.");
    }
    let model = { primitives: [] }, cloud = null;
    try {
      if (data) model = readGlb(data.textContent.trim());
      if (splats) cloud = Splats.read(splats.textContent.trim());
    } catch (error) {
      return fallBack(); // it is not our exporter's
    }
    if (data) {
      const link = card.querySelector("a[download]");
      link.href = URL.createObjectURL(new Blob([model.bytes], { type: "model/gltf-binary" }));
      link.hidden = false;
    }
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: true });
    if (!gl) return fallBack();
    canvas.addEventListener("webglcontextlost", fallBack);
    select(tabs[0].dataset.show);
    const box = bounds(data ? model.primitives.map(function (p) { return p.positions; }) : [cloud.positions]);
    const program = makeProgram(gl, VERTEX, FRAGMENT);
    const drawSplats = cloud && Splats.drawer(gl, makeProgram(gl, Splats.VERTEX, Splats.FRAGMENT), cloud);
    function place(name) { return gl.getUniformLocation(program, name); }

    function drawModel(eye, drawables) {
      gl.enable(gl.DEPTH_TEST);
      gl.useProgram(program);
      gl.uniformMatrix4fv(place("camera"), false, eye.matrix);
      gl.uniform3fv(place("light"), eye.light);
      gl.uniform1f(place("clay"), view.shown === "shape" ? 1 : 0);
      drawables.forEach(function (drawable) {
        gl.bindVertexArray(drawable.array);
        gl.bindTexture(gl.TEXTURE_2D, drawable.texture);
        gl.drawElements(gl.TRIANGLES, drawable.count, gl.UNSIGNED_INT, 0);
      });
    }

    Promise.all(model.primitives.map(upload.bind(null, gl, program))).then(function (drawables) {
      let last = null, asked = false;
      redraw = function () {
        if (!asked && view.shown !== "film") asked = requestAnimationFrame(frame);
      };
      function frame(now) {
        asked = false;
        if (view.turning && last !== null) view.azimuth += (now - last) * 0.0006;
        last = view.turning ? now : null;
        const size = Math.round(canvas.clientWidth * Math.min(devicePixelRatio, 2));
        const height = Math.round(canvas.clientHeight * Math.min(devicePixelRatio, 2));
        if (canvas.width !== size || canvas.height !== height) { canvas.width = size; canvas.height = height; }
        if (size > 0 && height > 0) {
          const eye = camera(view, box, size / height);
          gl.viewport(0, 0, size, height);
          gl.clearColor(0, 0, 0, 0);
          gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
          if (view.shown === "splats") drawSplats(eye, size, height);
          else drawModel(eye, drawables);
        }
        if (view.turning) redraw();
      }
      new ResizeObserver(redraw).observe(canvas);
      redraw();
    }).catch(fallBack);

    function turn(azimuth, elevation) {
      view.turning = false;
      view.azimuth += azimuth;
      view.elevation = Math.max(-1.5, Math.min(1.5, view.elevation + elevation));
      redraw();
    }
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) view.turning = false;
    canvas.onpointerdown = function (event) { canvas.setPointerCapture(event.pointerId); view.turning = false; };
    canvas.onpointermove = function (event) {
      if (event.buttons) turn(-event.movementX * 0.01, event.movementY * 0.01);
    };
    canvas.ondblclick = function () {
      Object.assign(view, { azimuth: 0, elevation: 0.26, turning: !("still" in card.dataset) });
      redraw();
    };
    canvas.onkeydown = function (event) {
      const step = { ArrowLeft: [0.15, 0], ArrowRight: [-0.15, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15] }[event.key];
      if (step) { turn(step[0], step[1]); event.preventDefault(); }
    };
  }

  document.querySelectorAll(".card.particle").forEach(show);
})();
