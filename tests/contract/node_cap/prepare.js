// Writes the model of SAP's published API_BUSINESS_PARTNER so that CAP can serve it: the published one declares its
// associations without join conditions, and its entities as not persisted. What cannot be joined by equal key names is left out.
const { writeFileSync } = require('node:fs')
const { definitions } = structuredClone(require('@sap/cloud-sdk-vdm-business-partner-service/business-partner-service-csn.json'))

const keysOf = entity => Object.entries(entity.elements).filter(([, element]) => element.key).map(([name]) => name)

for (const [name, entity] of Object.entries(definitions)) {
  if (entity.kind === 'service') {
    entity['@path'] = '/sap/opu/odata/sap/API_BUSINESS_PARTNER'
    continue
  }
  delete entity['@cds.persistence.skip']
  entity['@odata.draft.enabled'] = false
  for (const [field, element] of Object.entries(entity.elements)) {
    if (element.type !== 'cds.Association') continue
    const many = element.cardinality?.max === '*'
    const shared = (many ? keysOf(entity) : keysOf(definitions[element.target])).filter(
      key => entity.elements[key] && definitions[element.target].elements[key]
    )
    const whole = shared.length > 0 && (many || shared.length === keysOf(definitions[element.target]).length)
    if (!whole) delete entity.elements[field]
    else element.on = shared.flatMap((key, i) => [...(i ? ['and'] : []), { ref: [field, key] }, '=', { ref: [key] }])
  }
}
writeFileSync(process.argv[2], JSON.stringify({ definitions, $version: '2.0' }))
