// Fills the tables by a formula that the test knows too, so that every value can be checked.
const { Server } = require('node:net')
const cds = require('@sap/cds')

// CAP listens on all interfaces and has no setting for it; a test server has no business on the network.
const { listen } = Server.prototype
Server.prototype.listen = function (port, ...more) {
  return listen.call(this, port, '127.0.0.1', ...more.filter(each => typeof each === 'function'))
}

const at = (n, step) => new Date(Date.UTC(2025, 0, 1) + n * step).toISOString()

cds.once('served', async () => {
  const customers = Array.from({ length: 7 }, (_, n) => ({ code: `C${n}`, region: n % 2 ? 'N' : 'S', name: `Müller & Söhne №${n}` }))
  const orders = Array.from({ length: Number(process.env.ORDERS) }, (_, n) => ({
    ID: n,
    customer_code: `C${n % 7}`,
    customer_region: (n % 7) % 2 ? 'N' : 'S',
    net: n % 10 === 9 ? null : `${n}.${String(n % 1000).padStart(3, '0')}`,
    currency: 'EUR',
    quantity: n / 8,
    unit: 'PC',
    status: 'ABC'[n % 3],
    statusText: `line one\nline "two" ${n}`,
    changedAt: at(n, 61_001),
    orderedOn: at(n, 86_400_000).slice(0, 10),
    cutOff: at(n, 61_000).slice(11, 19),
    rushed: n % 2 === 0,
    weight: n / 4,
    lines: n % 30_000,
    serial: String(9_000_000_000_000n + BigInt(n)),
    token: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    tags: n % 5 ? [`t${n % 3}`, 'x'] : []
  }))
  const partners = Array.from({ length: 1_200 }, (_, n) => ({
    BusinessPartner: String(n).padStart(10, '0'),
    BusinessPartnerFullName: `Partner ${n} ÄÖÜ`,
    CreationDate: at(n % 365, 86_400_000).slice(0, 10),
    CreationTime: at(n, 61_000).slice(11, 19),
    LastChangeDate: n % 4 ? at(n % 365, 86_400_000).slice(0, 10) : null,
    BusinessPartnerIsBlocked: n % 100 === 0,
    ETag: String(n)
  }))
  await INSERT.into('Shop.Customers').entries(customers)
  await INSERT.into('Shop.Orders').entries(orders)
  await INSERT.into('API_BUSINESS_PARTNER.A_BusinessPartner').entries(partners)
  console.log('filled')
})
