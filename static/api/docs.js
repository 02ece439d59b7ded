// Shows the description. Loads nothing from other hosts, and stores a pasted token in memory only.
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', follow);
follow();

// Accepts the token, the header's value, or the whole header, quoted and wrapped.
const tokenOf = (pasted) =>
  pasted
    .replace(/["'\s]+/g, ' ')
    .trim()
    .replace(/^(?:Bearer )?(?:Authorization: ?)?(?:Bearer )*/i, '')
    .replace(/ /g, '');

window.SwaggerUIBundle({
  url: '/v1/openapi.json',
  dom_id: '#description',
  presets: [window.SwaggerUIBundle.presets.apis],
  layout: 'BaseLayout',
  // It puts a link inside each button, which assistive technology cannot reach.
  deepLinking: false,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
  requestInterceptor: (request) => {
    const authorization = request.headers && request.headers.Authorization;
    if (authorization) {
      request.headers.Authorization = `Bearer ${tokenOf(authorization)}`;
    }
    return request;
  },
});

// Adds what Swagger UI lacks for assistive technology: names of fields and buttons, and consecutive heading levels.
const page = document.querySelector('#description');
const levels = { H3: '2', H4: '3', H5: '4' };
const names = [
  ['#servers', 'Server'],
  ['textarea.body-param__text', 'Request body'],
  ['.close-modal', 'Close'],
];
let isWaiting = false;
const complete = () => {
  isWaiting = false;
  const each = (selector, change) => page.querySelectorAll(selector).forEach(change);
  each('h3, h4, h5', (heading) => heading.setAttribute('aria-level', levels[heading.tagName]));
  names.forEach(([selector, name]) => each(selector, (element) => element.setAttribute('aria-label', name)));
  // Their accessible names differ from their visible text.
  each('.auth-container button[aria-label]', (button) => button.removeAttribute('aria-label'));
  // They would be several landmarks with one name.
  each('table[role=region]', (table) => table.removeAttribute('role'));
};
new MutationObserver(() => {
  if (!isWaiting) {
    isWaiting = true;
    window.requestAnimationFrame(complete);
  }
}).observe(page, { childList: true, subtree: true });
